# The demo data as a test's subject: loads it into a node, searches it through an index and measures recall.
#
#   use Wordnet;
#   my $node = Wordnet::node('crash');          # a started server with tables wordnet and wordnet_query
#   Wordnet::index($node, 'vector_l2_ops');     # index wordnet_embedding
#   cmp_ok(Wordnet::recall($node), '>=', 0.95, 'recall after a build');
#   is(Wordnet::lost($node), 0, 'every row can be found');
#   is(Wordnet::check($node), '', 'no damage');
#
# A plan that does not use the index, or a row that comes twice in one search, dies.
package Wordnet;

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);

my %operator_of = (
  vector_l2_ops => '<->',
  vector_ip_ops => '<#>',
  vector_cosine_ops => '<=>',
  vector_l1_ops => '<+>',
  halfvec_l2_ops => '<->',
  halfvec_ip_ops => '<#>',
  halfvec_cosine_ops => '<=>',
  halfvec_l1_ops => '<+>',
);

# A started server with the data; the configuration is added to Postgres's own of tests. Further parameters are init's.
sub node {
  my ($name, $configuration, %parameters) = @_;
  my $node = PostgreSQL::Test::Cluster->new($name);
  $node->init(%parameters);
  configure($node, $configuration);
  $node->start;
  load($node);
  return $node;
}

# Statements with vectors in them are long: they are not logged. Autovacuum comes when it likes, tests do not. A plan
# that was told to do without sequential scans looks so expensive that Postgres would compile it.
sub configure {
  my ($node, $configuration) = @_;
  $node->append_conf('postgresql.conf', <<"CONF");
log_statement = none
log_min_error_statement = panic
autovacuum = off
jit = off
shared_buffers = 64MB
max_wal_size = 1GB
@{[ $configuration // '' ]}
CONF
}

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

# The ids that a search for each query finds, nearest first, through the index: a list of array references.
# Options: operator_class, ef_search, limit.
sub found {
  my ($node, %options) = @_;
  return map { $_->{ids} } searches($node, %options);
}

sub searches {
  my ($node, %options) = @_;
  my $settings = 'SET enable_seqscan = off; SET hnsw.ef_search = ' . ($options{ef_search} // 40) . ';';
  my $plan = $node->safe_psql('postgres', "$settings EXPLAIN (COSTS OFF) " . search(%options));
  die "the plan does not use the index:\n$plan" unless $plan =~ /Index Scan using wordnet_embedding/;
  my @searches = results($node, $settings, %options);
  for my $search (@searches) {
    my %seen;
    $seen{$_}++ and die "one search found row $_ twice" for @{ $search->{ids} };
  }
  return @searches;
}

# What `searches` would give if it was exact, by sorting all rows. Searched for each time, so that it holds after changes.
sub exact {
  my ($node, %options) = @_;
  return results($node, 'SET enable_indexscan = off;', %options);
}

# The mean share of the exact 10 nearest rows that a search through the index finds. Of rows that are equally far any are
# right.
sub recall {
  my ($node, %options) = @_;
  my @exact = exact($node, %options);
  my @searches = searches($node, %options);
  my ($hits, $wanted) = (0, 0);
  for my $query (0 .. $#exact) {
    my @distances = @{ $exact[$query]{distances} } or die 'there is nothing to find';
    $hits += grep { $_ <= $distances[-1] } @{ $searches[$query]{distances} };
    $wanted += @distances;
  }
  return $hits / $wanted;
}

# The share of known ids that are found.
sub share_found {
  my ($found, $known) = @_;
  my ($hits, $wanted) = (0, 0);
  for my $query (0 .. $#$known) {
    my %found = map { $_ => 1 } @{ $found->[$query] };
    $hits += grep { $found{$_} } @{ $known->[$query] };
    $wanted += @{ $known->[$query] };
  }
  die 'there is nothing to find' unless $wanted;
  return $hits / $wanted;
}

# How many rows are not met on a walk through the whole index.
sub lost {
  my ($node, %options) = @_;
  my $operator = operator(%options);
  my $walk = "SELECT id FROM wordnet ORDER BY embedding $operator (SELECT embedding FROM wordnet_query WHERE id = 0)";
  my ($rows, $met, $distinct) = split /\|/, $node->safe_psql('postgres', <<"SQL");
SET enable_seqscan = off;
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.max_scan_tuples = 2147483647;
SET hnsw.scan_mem_multiplier = 1000;
SELECT (SELECT count(*) FROM wordnet), count(*), count(DISTINCT id) FROM ($walk) s;
SQL
  die "one search met rows twice: $met rows, $distinct of them distinct" unless $met == $distinct;
  return $rows - $met;
}

# What hnsw_check finds that is damage, rows that are missing included: an empty string if all is well. Options: index, and
# all: true for warnings too.
sub check {
  my ($node, %options) = @_;
  my $index = $options{index} // 'wordnet_embedding';
  my $which = $options{all} ? 'true' : "severity = 'error'";
  return $node->safe_psql('postgres', "SELECT * FROM hnsw_check('$index', heapallindexed => true) WHERE $which LIMIT 20");
}

# How many of some rows are not the first that a search for their own vector finds, or as near as the first.
sub not_first {
  my ($node, %options) = @_;
  my $operator = operator(%options);
  my ($rows, $ef_search) = ($options{rows} // 300, $options{ef_search} // 100);
  return $node->safe_psql('postgres', <<"SQL");
SET enable_seqscan = off;
SET hnsw.ef_search = $ef_search;
SELECT count(*) FROM (SELECT embedding FROM wordnet ORDER BY hashint4(id) LIMIT $rows) w
  WHERE w.embedding IS DISTINCT FROM
    (SELECT n.embedding FROM wordnet n ORDER BY n.embedding $operator w.embedding LIMIT 1);
SQL
}

sub operator {
  my (%options) = @_;
  return $operator_of{ $options{operator_class} // 'vector_l2_ops' };
}

sub search {
  my (%options) = @_;
  my ($operator, $limit) = (operator(%options), $options{limit} // 10);
  return <<"SQL";
SELECT (SELECT string_agg(id || ' ' || d, ',') FROM
    (SELECT id, w.embedding $operator q.embedding AS d FROM wordnet w ORDER BY w.embedding $operator q.embedding LIMIT $limit) s)
  FROM wordnet_query q ORDER BY q.id
SQL
}

sub results {
  my ($node, $settings, %options) = @_;
  my @lines = split /\n/, $node->safe_psql('postgres', $settings . search(%options));
  return map {
    my @rows = map { [ split / / ] } split /,/;
    { ids => [ map { $_->[0] } @rows ], distances => [ map { $_->[1] } @rows ] }
  } @lines;
}

# A psql session that works through statements on its own. `finish` ends it when the server or the statements do.
sub session {
  my ($node, @statements) = @_;
  my $output = '';
  my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements);
  return { run => IPC::Run::start(\@psql, '<', \undef, '>', \$output, '2>&1'), output => \$output };
}

# Waits for a session and gives what it said; dies unless the session succeeded.
sub output {
  my ($session) = @_;
  $session->{run}->finish or die "a session failed: ${ $session->{output} }";
  return ${ $session->{output} };
}

# Kills all processes of the server, as a power cut would; done when they are gone.
sub crash {
  my ($node) = @_;
  my @backends = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
  my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
  $node->kill9;
  kill 9, @backends;
  wait_until(sub { !kill 0, $postmaster, @backends }, 'the killed server to end');
}

# Starts a server again that was killed: other processes of it may need a moment to end.
sub start_again {
  my ($node) = @_;
  wait_until(sub {
    return 1 if $node->start(fail_ok => 1);
    $node->stop('fast', fail_ok => 1);
    return 0;
  }, 'the server to start again');
}

sub wait_until {
  my ($holds, $what) = @_;
  for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default) {
    return if $holds->();
    sleep 0.1;
  }
  die "waited in vain for $what";
}

# The folder with the large data sets, or undef.
sub large_data { return $ENV{DATA_DIR} || undef; }

# Whether tests may take their time: ./dev test --long
sub long { return $ENV{OMENDB_LONG} ? 1 : 0; }

1;
