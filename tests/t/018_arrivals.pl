# Rows that arrive one by one in an empty index are found about as well as in an index that is built of them, whatever their lengths and
# directions. The limits are what is reached now; ./dev bench arrivals has the figures beside pgvector's.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $node = PostgreSQL::Test::Cluster->new('arrivals');
$node->init;
Wordnet::configure($node);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->safe_psql('postgres', '\i ' . $ENV{OMENDB_DEMO} . '/../benches/arrivals.sql');

# Kind, dimensions, metric, operator; the least recall at ef_search 40, and how far it may be below that of the built index.
my @rows = (
  [ 'positive', 3, 'ip', '<#>', 0.99, 0.01 ],
  [ 'positive', 32, 'ip', '<#>', 0.97, 0.02 ],
  [ 'lognormal', 32, 'ip', '<#>', 0.97, 0.02 ],
  [ 'lognormal', 64, 'ip', '<#>', 0.94, 0.03 ],
  [ 'gauss', 64, 'ip', '<#>', 0.86, 0.05 ],
  [ 'lognormal', 64, 'l2', '<->', 0.82, 0.06 ],
  [ 'lengths', 64, 'l2', '<->', 0.94, 0.03 ],
  [ 'sparse', 300, 'l2', '<->', 0.97, 0.02 ],
  [ 'unit', 64, 'cosine', '<=>', 0.84, 0.05 ]);
for my $row (@rows) {
  my ($kind, $dimensions, $metric, $operator, $least, $below) = @$row;
  my %recall = map { my ($how, $ef, $recall) = split /\|/; ("$how $ef" => $recall) } split /\n/,
    $node->safe_psql('postgres', "SELECT * FROM arrivals('$kind', $dimensions, 'vector_${metric}_ops', '$operator', 4000)");
  my $what = "$kind, $dimensions dimensions, $metric: recall $recall{'inserted 40'}, built $recall{'built 40'}";
  cmp_ok($recall{'inserted 40'}, '>=', $least, $what);
  cmp_ok($recall{'inserted 40'}, '>=', $recall{'built 40'} - $below, "$what: as in the index built anew");
}
done_testing();
