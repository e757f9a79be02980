# Every operator class: recall on 10,000 rows after a build, after inserts, and after rows were deleted and vacuumed away. No
# row comes twice in a search (`Wordnet::searches` dies of that), and the index is what it should be.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

# A type: what a column of it is declared as, how it is made of a row's embedding, its distances, the floor of recall with 100
# candidates. Bits have few different distances, and many pairs of strings have the same.
my @types = (
  { name => 'vector', column => 'vector(384)', value => 'embedding', distances => [qw(l2 ip cosine l1)], floor => 0.98 },
  { name => 'halfvec', column => 'halfvec(384)', value => 'embedding', distances => [qw(l2 ip cosine l1)], floor => 0.98 },
  { name => 'bit', column => 'bit(384)', value => 'binary_quantize(embedding)', distances => [qw(hamming jaccard)], floor => 0.95 },
  { name => 'sparsevec', column => 'sparsevec(30000)', value => 'sparse(embedding)', distances => [qw(l2 ip cosine l1)], floor => 0.98 },
);

my $node = Wordnet::node('operator_classes', 'maintenance_work_mem = 256MB');

sub sql { return $node->safe_psql('postgres', @_); }

sub check {
  my ($step, $class, $floor) = @_;
  my $recall = Wordnet::recall($node, operator_class => $class, ef_search => 100);
  cmp_ok($recall, '>=', $floor, sprintf '%s, %s: recall %.4f', $class, $step, $recall);
  is(Wordnet::check($node, all => 1), '', "$class, $step: the index is what it should be");
}

# The demo's vectors, and those that lie in the middle between two of them, all of length 1. As sparse vectors: the 64 largest of
# their values, and with half the weight pairs of the 11 largest, are elements, some 120 of 30,000: as of texts the words, common
# and rare.
sql(<<'SQL');
CREATE FUNCTION sparse(embedding vector) RETURNS sparsevec LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  WITH largest AS (
    SELECT place, value, row_number() OVER (ORDER BY value DESC) AS rank FROM (
      SELECT 2 * place + (value > 0)::int AS place, abs(value) AS value
        FROM unnest(embedding::real[]) WITH ORDINALITY AS u (value, place) ORDER BY abs(value) DESC LIMIT 64) s),
  elements AS (
    SELECT place, value FROM largest
    UNION ALL
    SELECT (a.place * 769 + b.place) % 30000 + 1, 0.5 * sqrt(a.value * b.value)
      FROM largest a JOIN largest b ON a.place < b.place WHERE a.rank <= 11 AND b.rank <= 11)
  SELECT ('{' || string_agg(place || ':' || value, ',') || '}/30000')::sparsevec
    FROM (SELECT place, sum(value) AS value FROM elements GROUP BY place) s
$$;
CREATE TABLE pool AS
  SELECT id, l2_normalize(embedding) AS embedding FROM wordnet
  UNION ALL
  SELECT 5000 + a.id, l2_normalize(l2_normalize(a.embedding) + l2_normalize(b.embedding)) FROM wordnet a JOIN wordnet b ON b.id = (a.id * 7 + 1) % 5000;
CREATE TABLE query_pool AS SELECT id, l2_normalize(embedding) AS embedding FROM wordnet_query;
SQL
is(sql('SELECT count(*) FROM pool'), 10000, 'there are 10,000 rows');

# A build that does not fit in memory goes by cells, which are chosen by what is left of bits and of sparse vectors when they
# are folded.
my %goes_by_cells = map { $_ => 1 } qw(bit_jaccard_ops sparsevec_ip_ops);

sub check_cells {
  my ($class, $floor) = @_;
  my ($status, undef, $error) = $node->psql('postgres',
    "SET client_min_messages = debug1; SET maintenance_work_mem = '1MB'; REINDEX INDEX wordnet_embedding");
  is($status, 0, "$class: a build with 1 MB") or diag $error;
  like($error, qr/hnsw index build goes by \d+ cells/, "$class: it goes by cells");
  check('built by cells', $class, $floor);
}

for my $type (@types) {
  sql(<<"SQL");
DROP TABLE wordnet, wordnet_query;
CREATE TABLE wordnet (id int, embedding $type->{column});
CREATE TABLE wordnet_query (id int, embedding $type->{column});
INSERT INTO wordnet_query SELECT id, $type->{value} FROM query_pool;
CREATE TABLE typed AS SELECT id, ($type->{value})::$type->{column} AS embedding FROM pool ORDER BY hashint4(id);
SQL
  for my $distance (@{ $type->{distances} }) {
    my $class = "$type->{name}_${distance}_ops";
    sql('TRUNCATE wordnet; INSERT INTO wordnet SELECT * FROM typed WHERE id % 10 <> 0');
    Wordnet::index($node, $class);
    check('built', $class, $type->{floor});
    sql('INSERT INTO wordnet SELECT * FROM typed WHERE id % 10 = 0');
    check('a tenth inserted', $class, $type->{floor});
    sql('DELETE FROM wordnet WHERE id % 10 = 1; VACUUM wordnet');
    check('a tenth deleted', $class, $type->{floor});
    check_cells($class, $type->{floor}) if $goes_by_cells{$class};
    sql('DROP INDEX wordnet_embedding');
  }
  sql('DROP TABLE typed');
}

$node->stop;
done_testing();
