# A target recall while the rows change: half as many of another distribution come, and half of all go. Until vacuum finds the slacks
# again searches go on farther, by a margin.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Test::More;
use Wordnet;

my $node = Wordnet::node('recall_after_changes');
Wordnet::index($node, 'vector_cosine_ops');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# 100 queries, of which a tenth of a row each is .001 of recall: no more than .02 below the target, and not all rows either.
sub holds {
  my ($step, $most) = @_;
  for my $target (0.9, 0.95, 0.99) {
    for my $k (10, 100) {
      my $recall = sql("SELECT recall FROM hnsw_recall('wordnet_embedding', $k, queries => 'SELECT embedding FROM wordnet_query', target_recall => $target)");
      cmp_ok($recall, '>=', $target - 0.02, "$step: recall of $k rows for a target of $target");
      cmp_ok($recall, '<=', $target + $most, "$step: and not much more");
      note "$step, $k rows, target $target: recall $recall";
    }
  }
}

sub slacks { return sql(q{SELECT calibration_slacks FROM hnsw_index_info('wordnet_embedding')}); }

# The slack of the last search with a target.
sub searched {
  return sql(<<'SQL');
SET enable_seqscan = off;
SET omendb.target_recall = 0.95;
DO $$ BEGIN PERFORM id FROM wordnet ORDER BY embedding <=> (SELECT embedding FROM wordnet_query WHERE id = 0) LIMIT 10; END $$;
SELECT slack FROM hnsw_last_scan();
SQL
}

holds('built', 0.07);
my ($built, $slack) = (slacks(), searched());

sql(<<'SQL');
INSERT INTO wordnet SELECT 10000 + id, topic, text, subvector(embedding, 193, 192) || subvector(embedding, 1, 192) FROM wordnet WHERE id % 2 = 0;
SQL
is(slacks(), $built, 'inserts leave the slacks as they are');
cmp_ok(searched(), '>', $slack, 'searches take a margin');
holds('half as many rows came', 0.09);
sql('VACUUM wordnet');
isnt(slacks(), $built, 'vacuum finds other slacks');
holds('vacuum after inserts', 0.05);

my $grown = slacks();
sql('DELETE FROM wordnet WHERE hashint4(id) % 2 = 0');
is(slacks(), $grown, 'deletes leave the slacks as they are');
holds('half of the rows went', 0.07);
sql('VACUUM wordnet');
isnt(slacks(), $grown, 'vacuum finds other slacks again');
holds('vacuum after deletes', 0.05);
is(Wordnet::check($node), '', 'no damage');

done_testing();
