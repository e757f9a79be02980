# The demo data as a test's subject: loads it into a node and measures recall on it.
#
#   use Wordnet;
#   Wordnet::load($node);                       # tables wordnet and wordnet_query, see demo/load.sql
#   Wordnet::index($node, 'vector_l2_ops');     # index wordnet_embedding
#   cmp_ok(Wordnet::recall($node), '>=', 0.95, 'recall after a build');
package Wordnet;

use strict;
use warnings;

my %operator_of = (
  vector_l2_ops => '<->',
  vector_ip_ops => '<#>',
  vector_cosine_ops => '<=>',
  vector_l1_ops => '<+>',
);

sub load {
  my ($node) = @_;
  my $folder = $ENV{OMENDB_DEMO} or die 'OMENDB_DEMO is not set: run tests with ./dev test';
  $node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS omendb');
  $node->safe_psql('postgres', "\\set demo '$folder'\n\\i $folder/load.sql\n");
}

sub index {
  my ($node, $operator_class, $options) = @_;
  my $with = $options ? "WITH ($options)" : '';
  $node->safe_psql('postgres',
    "CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding $operator_class) $with");
}

# The mean share of the exact 10 nearest rows that a search through the index finds. The exact ones are
# searched for each time, so this holds after rows were inserted or deleted. A plan that does not use the
# index, or a row that comes twice, is an error.
sub recall {
  my ($node, %options) = @_;
  my $operator = $operator_of{ $options{operator_class} // 'vector_l2_ops' };
  my $ef_search = $options{ef_search} // 40;
  my $query = "SELECT id FROM wordnet ORDER BY embedding $operator";
  my $first = '(SELECT embedding FROM wordnet_query WHERE id = 0)';
  my $plan = $node->safe_psql('postgres',
    "SET enable_seqscan = off; EXPLAIN (COSTS OFF) $query $first LIMIT 10");
  die "the plan does not use the index:\n$plan" unless $plan =~ /Index Scan using wordnet_embedding/;
  return $node->safe_psql('postgres', <<"SQL");
SET enable_seqscan = off;
SET hnsw.ef_search = $ef_search;
CREATE TEMP TABLE found AS
  SELECT q.id AS query, array(SELECT id FROM wordnet w ORDER BY w.embedding $operator q.embedding LIMIT 10) AS ids
  FROM wordnet_query q;
SET enable_seqscan = on;
SET enable_indexscan = off;
CREATE TEMP TABLE exact AS
  SELECT q.id AS query, array(SELECT id FROM wordnet w ORDER BY w.embedding $operator q.embedding LIMIT 10) AS ids
  FROM wordnet_query q;
DO \$\$
BEGIN
  IF EXISTS (SELECT FROM found, unnest(ids) AS id GROUP BY query, id HAVING count(*) > 1) THEN
    RAISE 'a row was found twice by one search';
  END IF;
END \$\$;
SELECT round(avg(cardinality(array(SELECT unnest(f.ids) INTERSECT SELECT unnest(e.ids)))
    / cardinality(e.ids)::numeric), 4)
  FROM found f JOIN exact e USING (query);
SQL
}

# The folder with the large data sets, or undef.
sub large_data { return $ENV{DATA_DIR}; }

1;
