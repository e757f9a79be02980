# An index at work: rounds in which a tenth of the rows goes, vacuum comes, as many come, and others change, one by one and by upserts;
# and a table filled by ten clients at once. Both are found as well as in an index built anew of the same rows, and the
# index keeps its size.
#
# 6 rounds of 2,000 rows; under --long 20 rounds of 4,400.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my ($rows, $rounds) = Wordnet::long() ? (4400, 20) : (2000, 6);
my $node = Wordnet::node('steady_state', "fsync = off\nmax_connections = 30");
sub sql { return $node->safe_psql('postgres', @_); }

# Kinds of vectors: the type, the operator class, and the vector made of a row's embedding. The sparse ones have the heavy elements alone.
my %kinds = (
  vector => [ 'vector(384)', 'vector_cosine_ops', 'embedding' ],
  halfvec => [ 'halfvec(384)', 'halfvec_l2_ops', 'embedding::halfvec' ],
  sparsevec => [ 'sparsevec(384)', 'sparsevec_ip_ops', 'heaviest(embedding)' ],
  bit => [ 'bit(384)', 'bit_hamming_ops', 'binary_quantize(embedding)::bit(384)' ]);

# How far the recall of 600 queries at ef_search 10, 40 and 100 may be below that of an index built anew.
my %below = (10 => 0.02, 40 => 0.01, 100 => 0.006);

sql(<<'SQL');
CREATE FUNCTION heaviest(vector) RETURNS sparsevec LANGUAGE sql IMMUTABLE AS $$
  SELECT ('{' || string_agg(place || ':' || value, ',' ORDER BY place) || '}/384')::sparsevec
    FROM (SELECT * FROM unnest($1::real[]) WITH ORDINALITY AS element (value, place) ORDER BY abs(value) DESC LIMIT 48) AS element
$$;
CREATE SEQUENCE source;
CREATE SEQUENCE fresh;
SQL

# The next row of the pool, in turn: most of them are not in the table.
sub next_of { return "(SELECT embedding FROM pool WHERE id = (SELECT nextval('source') % 4400))"; }

# Tables `pool` of all vectors of a kind, and `work` with some of them and an index.
sub prepare {
  my ($type, $class, $made) = @_;
  sql(<<"SQL");
DROP TABLE IF EXISTS pool, work;
CREATE TABLE pool AS SELECT id, $made AS embedding FROM wordnet;
ALTER TABLE pool ADD PRIMARY KEY (id);
CREATE TABLE work (id int PRIMARY KEY, embedding $type);
INSERT INTO work SELECT id, embedding FROM pool WHERE id < $rows;
CREATE INDEX work_embedding ON work USING hnsw (embedding $class);
ALTER SEQUENCE source RESTART $rows;
ALTER SEQUENCE fresh RESTART 10000;
VACUUM ANALYZE pool, work;
SQL
}

sub change {
  my ($round) = @_;
  my ($some, $few) = ($rows / 10, $rows / 25);
  my $random = "hashint4extended(id, $round)";
  sql("DELETE FROM work WHERE id IN (SELECT id FROM work ORDER BY $random LIMIT $some); VACUUM (INDEX_CLEANUP on) work");
  sql(<<"SQL");
DO \$\$ DECLARE row record; BEGIN
  FOR i IN 1 .. $some LOOP
    INSERT INTO work VALUES (nextval('fresh'), @{[ next_of() ]});
  END LOOP;
  FOR row IN SELECT id FROM work ORDER BY -$random LIMIT $few LOOP
    UPDATE work SET embedding = @{[ next_of() ]} WHERE id = row.id;
  END LOOP;
  FOR row IN SELECT id FROM work ORDER BY $random / 3 LIMIT $few LOOP
    INSERT INTO work VALUES (row.id, @{[ next_of() ]}) ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding;
  END LOOP;
END \$\$;
SQL
}

sub size { return sql(q{SELECT pg_relation_size('work_embedding')}); }

# Recall by ef_search.
sub recalls {
  my $queries = q{'SELECT embedding FROM pool WHERE id >= 4400'};
  my $curve = sql("SELECT value, recall FROM hnsw_recall_curve('work_embedding', 10, sample => 600, queries => $queries, ef_search => '{10,40,100}', target_recall => '{}')");
  return map { split /\|/ } split /\n/, $curve;
}

# The index beside one that is built anew of the same rows.
sub compare {
  my ($what, $may_be) = @_;
  is(sql(q{SELECT * FROM hnsw_check('work_embedding', heapallindexed => true) WHERE severity = 'error'}), '', "$what: no damage");
  my ($size, %recall) = (size(), recalls());
  sql('REINDEX INDEX work_embedding');
  my ($anew_size, %anew) = (size(), recalls());
  for my $ef (sort { $a <=> $b } keys %below) {
    my $text = sprintf '%s: recall at ef_search %d is %.4f, built anew %.4f', $what, $ef, $recall{$ef}, $anew{$ef};
    cmp_ok($recall{$ef}, '>=', $anew{$ef} - $below{$ef}, $text);
  }
  cmp_ok($size, '<=', $may_be * $anew_size, "$what: the index has $size bytes, built anew $anew_size");
}

for my $kind (qw(vector halfvec sparsevec bit)) {
  my ($type, $class, $made) = @{ $kinds{$kind} };
  prepare($type, $class, $made);
  change($_) for 1 .. $rounds;
  compare("$kind, after $rounds rounds", 1.1);

  sql("TRUNCATE work");
  my @clients = map { Wordnet::session($node, <<"SQL") } 0 .. 9;
DO \$\$ DECLARE row record; BEGIN
  FOR row IN SELECT * FROM pool WHERE id < $rows AND id % 10 = $_ LOOP
    INSERT INTO work VALUES (row.id, row.embedding);
    COMMIT;
  END LOOP;
END \$\$
SQL
  Wordnet::output($_) for @clients;
  is(sql('SELECT count(*) FROM work'), $rows, "$kind: ten clients filled the table");
  # An index made empty has room for 256 elements of a sparse vector in each code.
  compare("$kind, filled by ten clients", $kind eq 'sparsevec' ? 3.1 : 1.1);
}

$node->stop;
done_testing();
