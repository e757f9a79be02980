# Recall on real data, by floors for each operator class: after a build, inserts, deletes, vacuum and updates, with the
# demo data and, where they are found, with the large sets.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

# Searches with 40 candidates, as by default.
my %floors_of = map { ("vector_${_}_ops" => 0.97, "halfvec_${_}_ops" => 0.97) } qw(l2 cosine ip l1);

my $node = Wordnet::node('recall', 'maintenance_work_mem = 1GB');

sub sql { return $node->safe_psql('postgres', @_); }

sub check {
  my ($step, $class, $floor, @options) = @_;
  my $recall = Wordnet::recall($node, operator_class => $class, @options);
  cmp_ok($recall, '>=', $floor, sprintf '%s, %s: recall %.4f', $class, $step, $recall);
  is(Wordnet::lost($node, operator_class => $class), 0, "$class, $step: every row can be found");
}

# Empty tables of rows and full ones of queries, with vectors of the type that an operator class is for.
sub tables_for {
  my ($class) = @_;
  my ($type) = $class =~ /^([a-z]+)_/;
  sql(<<"SQL");
TRUNCATE wordnet, wordnet_query;
ALTER TABLE wordnet ALTER COLUMN embedding TYPE $type(384);
ALTER TABLE wordnet_query ALTER COLUMN embedding TYPE $type(384);
INSERT INTO wordnet_query SELECT * FROM query_pool;
SQL
}

sql('CREATE TABLE pool AS SELECT * FROM wordnet; CREATE TABLE query_pool AS SELECT * FROM wordnet_query');
for my $class (sort keys %floors_of) {
  my $floor = $floors_of{$class};
  tables_for($class);
  sql('INSERT INTO wordnet SELECT * FROM pool');
  Wordnet::index($node, $class);
  check('built', $class, $floor);
  cmp_ok(Wordnet::recall($node, operator_class => $class, ef_search => 200), '>=', 0.99, "$class: recall with 200 candidates");

  sql('DELETE FROM wordnet WHERE id % 3 = 0; VACUUM wordnet');
  check('a third deleted', $class, $floor);
  sql('INSERT INTO wordnet SELECT * FROM pool WHERE id % 3 = 0');
  check('a third inserted again', $class, $floor);
  sql('UPDATE wordnet w SET embedding = p.embedding FROM pool p WHERE p.id = (w.id + 7) % 5000 AND w.id % 5 = 0; VACUUM wordnet');
  check('a fifth changed', $class, $floor);

  sql('DROP INDEX wordnet_embedding; TRUNCATE wordnet; INSERT INTO wordnet SELECT * FROM pool WHERE id % 2 = 0');
  Wordnet::index($node, $class);
  sql('INSERT INTO wordnet SELECT * FROM pool WHERE id % 2 = 1');
  check('half inserted', $class, $floor);
  sql('DROP INDEX wordnet_embedding');
}

# Every row by an insert, into an index that was empty.
tables_for('vector_cosine_ops');
Wordnet::index($node, 'vector_cosine_ops');
sql('INSERT INTO wordnet SELECT * FROM pool');
check('all inserted', 'vector_cosine_ops', 0.97);
# One that went through many small vacuums.
sql("DELETE FROM wordnet WHERE id % 20 = $_; VACUUM wordnet; INSERT INTO wordnet SELECT * FROM pool WHERE id % 20 = $_") for 0 .. 9;
check('renewed by twentieths', 'vector_cosine_ops', 0.97);
sql('DROP INDEX wordnet_embedding');

# Vectors of length 1 among vectors of length 500: what short ones have in common with the mean of all is next to nothing. Half
# the queries are as short.
tables_for('vector_l2_ops');
sql(<<'SQL');
INSERT INTO wordnet SELECT id, topic, text, CASE id % 2 WHEN 0 THEN embedding ELSE l2_normalize(embedding) END FROM pool;
UPDATE wordnet_query SET embedding = l2_normalize(embedding) WHERE id % 2 = 1;
SQL
Wordnet::index($node, 'vector_l2_ops');
check('vectors of two lengths', 'vector_l2_ops', 0.85);
sql('DROP INDEX wordnet_embedding');

# The large sets: name, files, operator class, dimensions, and floors at 40 candidates.
my @large = (
  { name => 'wordnet', base => 'wordnet_base.f16.npy', class => 'vector_cosine_ops', dimensions => 384, floor => 0.96, long => 0 },
  { name => 'sift', base => 'sift_base.u8.npy', class => 'vector_l2_ops', dimensions => 128, floor => 0.96, long => 1 },
);

for my $set (@large) {
  SKIP: {
    my $folder = Wordnet::large_data();
    skip "$set->{name}: the large data sets are not there (OMENDB_DATA names their folder)", 1 unless $folder;
    skip "$set->{name}: only with --long", 1 if $set->{long} && !Wordnet::long();
    large_set($folder, $set);
  }
}

$node->stop;
done_testing();

sub large_set {
  my ($folder, $set) = @_;
  my ($name, $class) = @$set{qw(name class)};
  my ($queries) = grep { m{/${name}_queries} } glob "$folder/*";
  my $program = "perl $ENV{OMENDB_DEMO}/../benches/npy_copy.pl";
  sql(<<"SQL");
DROP TABLE wordnet, wordnet_query;
CREATE TABLE wordnet (id int, embedding vector($set->{dimensions}));
CREATE TABLE wordnet_query (id int, embedding vector($set->{dimensions}), nearest int[]);
COPY wordnet FROM PROGRAM '$program $folder/$set->{base}' WITH (FORMAT binary);
COPY wordnet_query FROM PROGRAM '$program $queries $folder/${name}_truth_top100.i32.npy' WITH (FORMAT binary);
DELETE FROM wordnet_query WHERE id >= 300;
SQL
  Wordnet::index($node, $class);
  check_large('built', $set);

  sql('CREATE TABLE renewed AS SELECT * FROM wordnet WHERE id % 50 = 0; DELETE FROM wordnet WHERE id % 50 = 0; VACUUM wordnet');
  is(Wordnet::lost($node, operator_class => $class), 0, "$name, a fiftieth deleted: every row can be found");
  sql('INSERT INTO wordnet SELECT * FROM renewed; DROP TABLE renewed');
  check_large('a fiftieth deleted and inserted again', $set);
}

# Against the truth that comes with a set.
sub check_large {
  my ($step, $set) = @_;
  my @truth = map { [ split /,/ ] } split /\n/, sql(q(SELECT array_to_string(nearest, ',') FROM wordnet_query ORDER BY id));
  my $recall = Wordnet::share_found([ Wordnet::found($node, operator_class => $set->{class}) ], \@truth);
  cmp_ok($recall, '>=', $set->{floor}, sprintf '%s, %s: recall %.4f', $set->{name}, $step, $recall);
  is(Wordnet::lost($node, operator_class => $set->{class}), 0, "$set->{name}, $step: every row can be found");
}
