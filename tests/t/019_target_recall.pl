# omendb.target_recall on the demo data: the target is kept, takes less than a fixed effort of the same recall, and its
# calibration survives a crash, a restart and REINDEX.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Test::More;
use Wordnet;

my $node = Wordnet::node('target_recall');

sub target { $node->safe_psql('postgres', "ALTER DATABASE postgres SET omendb.target_recall = $_[0]"); }

# The rule of a search, and its slack.
sub rule {
  return $node->safe_psql('postgres', <<'SQL');
SET enable_seqscan = off;
DO $$ BEGIN PERFORM id FROM wordnet ORDER BY embedding <=> (SELECT embedding FROM wordnet_query WHERE id = 0) LIMIT 10; END $$;
SELECT ended_by, slack FROM hnsw_last_scan();
SQL
}

# Two-sided: a search that goes on for nothing fails as well. 100 queries, like the rows; data and build are the same each time. Of
# one row each, their standard error is .03 at .90. Of these few rows in groups, searches for a target of .90 find up to .96.
for my $class ('vector_l2_ops', 'vector_ip_ops', 'vector_cosine_ops') {
  Wordnet::index($node, $class);
  for my $target (0.9, 0.95, 0.99) {
    target($target);
    for my $limit (1, 10, 100) {
      my ($below, $above) = ($limit == 1 ? 0.02 : 0.015, 0.07);
      my $recall = Wordnet::recall($node, operator_class => $class, limit => $limit);
      cmp_ok($recall, '>=', $target - $below, "$class: recall of $limit rows for a target of $target");
      cmp_ok($recall, '<=', $target + $above, "$class: and not much more");
      note "$class, $limit rows, target $target: recall $recall";
    }
  }
  $node->safe_psql('postgres', 'DROP INDEX wordnet_embedding') if $class ne 'vector_cosine_ops';
}

target(0.95);
my $rule = rule();
like($rule, qr/^target_recall\|[-.\d]+$/, 'a search ends by the slack of the target');
Wordnet::crash($node);
Wordnet::start_again($node);
is(rule(), $rule, 'the calibration survives a crash');
$node->restart;
is(rule(), $rule, 'and a restart');
$node->safe_psql('postgres', 'REINDEX INDEX wordnet_embedding');
is(rule(), $rule, 'REINDEX finds the same calibration');
is(Wordnet::check($node), '', 'no damage');

done_testing();
