# hnsw_recall on the demo data: the numbers of a scan of the table, whatever the rows and the setting, on a standby too.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Test::More;
use Wordnet;

my $node = Wordnet::node('recall', '', allows_streaming => 1);
my $queries = q{queries => 'SELECT embedding FROM wordnet_query ORDER BY id'};

# Recall, worst query and queries by hnsw_recall.
sub by_function {
  my ($of, $arguments) = @_;
  return split /\|/, $of->safe_psql('postgres',
    "SELECT round(recall::numeric, 6), round(worst::numeric, 6), asked FROM hnsw_recall('wordnet_embedding', $arguments)");
}

# The same by two statements for each query.
sub by_scan {
  my (%options) = @_;
  my @exact = Wordnet::exact($node, %options);
  my @searches = Wordnet::searches($node, %options);
  my ($sum, $worst) = (0, 1);
  for my $query (0 .. $#exact) {
    my @nearest = @{ $exact[$query]{distances} };
    my $hits = grep { $_ <= $nearest[-1] } @{ $searches[$query]{distances} };
    $sum += $hits / @nearest;
    $worst = $hits / @nearest if $hits / @nearest < $worst;
  }
  return map({ sprintf '%.6f', $_ } $sum / @exact, $worst), scalar @exact;
}

for my $class ('vector_l2_ops', 'vector_ip_ops', 'vector_cosine_ops', 'vector_l1_ops') {
  Wordnet::index($node, $class);
  for my $ef_search (10, 40) {
    for my $limit (1, 10, 100) {
      is_deeply([by_function($node, "$limit, $queries, ef_search => $ef_search")],
        [by_scan(operator_class => $class, ef_search => $ef_search, limit => $limit)],
        "$class: recall of $limit rows with ef_search $ef_search");
    }
  }
  $node->safe_psql('postgres', 'DROP INDEX wordnet_embedding') if $class ne 'vector_l1_ops';
}

$node->safe_psql('postgres', <<'SQL');
DELETE FROM wordnet WHERE id % 2 = 0;
UPDATE wordnet SET topic = topic || '.' WHERE id % 5 = 0;
INSERT INTO wordnet SELECT 10000 + id, topic, text, embedding FROM wordnet WHERE id % 3 = 0;
SQL
my @all = (operator_class => 'vector_l1_ops', limit => 10);
is_deeply([by_function($node, "10, $queries")], [by_scan(@all)], 'the same with dead rows and equal ones');
$node->safe_psql('postgres', 'VACUUM wordnet');
is_deeply([by_function($node, "10, $queries")], [by_scan(@all)], 'the same after VACUUM');
cmp_ok((by_function($node, '10, 300'))[0], '>=', 0.9, 'rows find their neighbors');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('recall_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
is_deeply([by_function($standby, "10, $queries")], [by_function($node, "10, $queries")], 'the same on a standby');
my ($status, undef, $error) = $standby->psql('postgres', q{SELECT hnsw_calibrate('wordnet_embedding')});
like($error, qr/cannot execute hnsw_calibrate\(\) during recovery/, 'a standby cannot calibrate');

# A calibration is logged.
my $slacks = q{SELECT calibration_slacks, calibration_sample FROM hnsw_index_info('wordnet_embedding')};
my $before = $node->safe_psql('postgres', $slacks);
is($node->safe_psql('postgres', q{SELECT hnsw_calibrate('wordnet_embedding', 'SELECT embedding FROM wordnet_query')}), 100,
  'real queries calibrate an index');
my $after = $node->safe_psql('postgres', $slacks);
isnt($after, $before, 'they give other slacks');
$node->wait_for_catchup($standby, 'replay');
is($standby->safe_psql('postgres', $slacks), $after, 'a standby has them');
Wordnet::crash($node);
Wordnet::start_again($node);
is($node->safe_psql('postgres', $slacks), $after, 'they survive a crash');
is(Wordnet::check($node), '', 'no damage');

# It can be cancelled.
my ($cancelled, undef, $message) = $node->psql('postgres',
  q{SET statement_timeout = '50ms'; SELECT * FROM hnsw_recall('wordnet_embedding', 1000, 2500)});
like($message, qr/canceling statement due to statement timeout/, 'it can be cancelled');

done_testing();
