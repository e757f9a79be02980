# Recall of conditions on key columns, on real data: conditions that half of the rows pass, a tenth, a hundredth and a thousandth, without
# graphs and with graphs of each of these columns; after a build, inserts, deletes and vacuum, a crash, and on a standby. Each search
# returns the limit if there are as many rows, and no row twice. With the large set, where it is found, searches go through the graph.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $keys = 'half, tenth, hundredth, thousandth';
my @conditions = ('half = 1', 'tenth = 1', 'hundredth = 1', 'thousandth = 1', 'tenth BETWEEN 2 AND 3', 'half = 1 AND tenth IN (1, 4)');

# Columns that have to do with nothing but the id.
sub add_keys {
  my ($node) = @_;
  $node->safe_psql('postgres', 'ALTER TABLE wordnet ' . join ', ', map {
    my ($name, $values) = @$_;
    "ADD $name int GENERATED ALWAYS AS (abs(hashint4(id) % $values)) STORED"
  } [ half => 2 ], [ tenth => 10 ], [ hundredth => 100 ], [ thousandth => 1000 ]);
}

sub check {
  my ($node, $moment) = @_;
  my $floor = 0.97;
  my %recalls = map { $_ => Wordnet::recall($node, where => $_, operator_class => 'vector_cosine_ops') } @conditions;
  my @low = grep { $recalls{$_} < $floor } @conditions;
  is(join(', ', @low), '', "$moment: recall " . join ', ', map { sprintf '%.4f', $recalls{$_} } @conditions);
}

sub sound {
  my ($node, $moment) = @_;
  is(Wordnet::check($node), '', "$moment: no damage");
}

my $primary = Wordnet::node('primary', '', allows_streaming => 1);
sub sql { return $primary->safe_psql('postgres', @_); }
sql('CREATE TABLE pool AS SELECT * FROM wordnet');
add_keys($primary);

for my $graphs ('', qw(half tenth)) {
  my $name = $graphs ? "graphs of $graphs" : 'no graphs';
  my $with = $graphs ? "WITH (graphs = $graphs)" : '';
  sql("TRUNCATE wordnet; INSERT INTO wordnet SELECT * FROM pool WHERE id % 4 > 0; ANALYZE wordnet");
  sql("CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_cosine_ops, $keys) $with");
  check($primary, "$name, built");

  sql('INSERT INTO wordnet SELECT * FROM pool WHERE id % 4 = 0');
  check($primary, "$name, a quarter inserted");

  sql('DELETE FROM wordnet WHERE id % 3 = 0; VACUUM (INDEX_CLEANUP on) wordnet');
  check($primary, "$name, a third deleted");
  sound($primary, "$name, a third deleted");

  sql('INSERT INTO wordnet SELECT * FROM pool WHERE id % 3 = 0');
  Wordnet::crash($primary);
  Wordnet::start_again($primary);
  check($primary, "$name, a third inserted again, and a crash");
  sound($primary, "$name, a crash");

  $primary->backup("with_$graphs");
  my $standby = PostgreSQL::Test::Cluster->new("standby_$graphs");
  $standby->init_from_backup($primary, "with_$graphs", has_streaming => 1);
  $standby->start;
  sql('DELETE FROM wordnet WHERE id % 5 = 0; VACUUM (INDEX_CLEANUP on) wordnet; INSERT INTO wordnet SELECT * FROM pool WHERE id % 10 = 0');
  $primary->wait_for_catchup($standby);
  check($standby, "$name, a standby");
  sound($standby, "$name, a standby");
  $standby->stop;
  sql('DROP INDEX wordnet_embedding');
}

SKIP: {
  my $folder = Wordnet::large_data();
  skip 'the large data sets are not there (OMENDB_DATA names their folder)', 1 unless $folder;
  my $program = "perl $ENV{OMENDB_DEMO}/../benches/npy_copy.pl";
  sql(<<"SQL");
DROP TABLE wordnet, wordnet_query, pool;
CREATE TABLE wordnet (id int, embedding vector(384));
CREATE TABLE wordnet_query (id int, embedding vector(384));
COPY wordnet FROM PROGRAM '$program $folder/wordnet_base.f16.npy' WITH (FORMAT binary);
COPY wordnet_query FROM PROGRAM '$program $folder/wordnet_queries.f32.npy' WITH (FORMAT binary);
DELETE FROM wordnet_query WHERE id >= 20;
SQL
  add_keys($primary);
  @conditions = ('half = 1', 'tenth = 1', 'half = 1 AND tenth IN (1, 4)');
  for my $graphs ('', 'tenth') {
    my $name = 'wordnet, ' . ($graphs ? "graphs of $graphs" : 'no graphs');
    my $with = $graphs ? "WITH (graphs = $graphs)" : '';
    sql("SET maintenance_work_mem = '256MB'; CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_cosine_ops, $keys) $with");
    check($primary, "$name, built");
    sql('CREATE TABLE renewed AS SELECT id, embedding FROM wordnet WHERE id % 50 = 0; DELETE FROM wordnet WHERE id % 50 = 0; VACUUM wordnet');
    sql('INSERT INTO wordnet SELECT * FROM renewed; DROP TABLE renewed');
    check($primary, "$name, a fiftieth deleted and inserted again");
    sql('DROP INDEX wordnet_embedding');
  }
}

$primary->stop;
done_testing();
