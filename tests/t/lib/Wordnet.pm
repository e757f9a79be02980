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
use Cwd qw(realpath);
use Digest::MD5 qw(md5_hex);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep);

my %operator = (l2 => '<->', ip => '<#>', cosine => '<=>', l1 => '<+>', hamming => '<~>', jaccard => '<%>');

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

# Gives a node that is loaded what it takes to be busy: all rows once more as table pool, the sequence new_id, and
# - churn(seconds), a procedure that inserts, updates and deletes random rows, one row a transaction; the table keeps its size
# - share_found(searches), a function that searches through the index and without it, and gives the share of the nearest rows
#   that it found. It raises an error if a row comes twice or out of order.
sub prepare_churn {
  my ($node) = @_;
  $node->safe_psql('postgres', <<'SQL');
CREATE TABLE pool AS SELECT * FROM wordnet;
ALTER TABLE pool ADD PRIMARY KEY (id);
CREATE SEQUENCE new_id START 100000;
CREATE FUNCTION any_of_pool() RETURNS pool LANGUAGE sql VOLATILE AS
  'SELECT * FROM pool WHERE id = (SELECT floor(random() * 5000)::int)';
-- Old rows and new ones alike.
CREATE FUNCTION any_id() RETURNS int LANGUAGE sql VOLATILE AS $$
  SELECT id FROM wordnet WHERE id >= (SELECT CASE WHEN random() < 0.5 THEN random() * 5000
    ELSE 100000 + random() * (SELECT last_value - 100000 FROM new_id) END) ORDER BY id LIMIT 1
$$;
CREATE PROCEDURE churn(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  source pool;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    source := any_of_pool();
    INSERT INTO wordnet VALUES (nextval('new_id'), source.topic, source.text, source.embedding);
    COMMIT;
    UPDATE wordnet SET embedding = (any_of_pool()).embedding WHERE id = (SELECT any_id());
    COMMIT;
    DELETE FROM wordnet WHERE id = (SELECT any_id());
    COMMIT;
  END LOOP;
END $$;
CREATE FUNCTION share_found(searches int) RETURNS float8 LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
  query vector; ids int[]; distances float8[]; nearest float8[]; hits int := 0; wanted int := 0;
BEGIN
  FOR search IN 1 .. searches LOOP
    SELECT embedding INTO query FROM wordnet_query WHERE id = (SELECT floor(random() * 100)::int);
    -- One statement has one snapshot.
    SELECT (SELECT array_agg(d ORDER BY d) FROM (SELECT l2_distance(embedding, query) AS d FROM wordnet ORDER BY d LIMIT 10) s),
        array_agg(id), array_agg(d) INTO nearest, ids, distances
      FROM (SELECT id, embedding <-> query AS d FROM wordnet ORDER BY embedding <-> query LIMIT 10) s;
    IF cardinality(ids) <> (SELECT count(DISTINCT id) FROM unnest(ids) id) THEN
      RAISE 'a search found a row twice: %', ids;
    END IF;
    IF distances <> (SELECT array_agg(d ORDER BY d) FROM unnest(distances) d) THEN
      RAISE 'a search found rows out of order: %', distances;
    END IF;
    hits := hits + (SELECT count(*) FROM unnest(distances) d WHERE d <= nearest[10]);
    wanted := wanted + 10;
  END LOOP;
  RETURN hits::float8 / wanted;
END $$;
SQL
}

sub index {
  my ($node, $operator_class, $options) = @_;
  my $with = $options ? "WITH ($options)" : '';
  $node->safe_psql('postgres',
    "CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding $operator_class) $with");
}

# The definition of a second index, wordnet_keyed, with key columns and a graph for each topic. It has cosine distance, so that tests
# choose the index by the operator class: `keyed` are the options for searches of it.
use constant KEYED => 'wordnet_keyed ON wordnet USING hnsw (embedding vector_cosine_ops, topic, (id % 10)) WITH (graphs = topic)';
my %keyed = (operator_class => 'vector_cosine_ops', index => 'wordnet_keyed');

# Faults of wordnet_keyed: damage, lost rows, or a low recall of searches without a condition, of one topic, which takes its
# graph, and of a tenth of the rows; an empty string if all is well.
sub keyed_faults {
  my ($node, $floor) = @_;
  my @faults = grep { $_ } check($node, %keyed);
  my $lost = lost($node, %keyed);
  push @faults, "$lost rows are lost" if $lost;
  for my $where (undef, "w.topic = 'noun.artifact'", "w.id % 10 = q.id % 10", "w.topic = 'noun.person' AND w.id % 10 = 7") {
    my $recall = recall($node, %keyed, where => $where);
    push @faults, sprintf '%s: recall %.4f', $where // 'no condition', $recall if $recall < $floor;
  }
  return join "\n", @faults;
}

# The ids that a search for each query finds, nearest first, through the index: a list of array references.
# Options: operator_class, ef_search, limit; index, if it is not wordnet_embedding; where, a condition on rows w and queries q that
# the index has to answer.
sub found {
  my ($node, %options) = @_;
  return map { $_->{ids} } searches($node, %options);
}

sub searches {
  my ($node, %options) = @_;
  my $settings = 'SET enable_seqscan = off; SET hnsw.ef_search = ' . ($options{ef_search} // 40) . ';';
  my $plan = $node->safe_psql('postgres', "$settings EXPLAIN (COSTS OFF) " . search(%options));
  my $index = $options{index} // 'wordnet_embedding';
  die "the plan does not use the index:\n$plan" unless $plan =~ /Index Scan using $index/;
  die "the index does not answer the condition:\n$plan" if $options{where} && $plan !~ /Index Cond/ || $plan =~ /Filter/;
  my @searches = results($node, $settings, %options);
  for my $search (@searches) {
    my %seen;
    $seen{$_}++ and die "one search found row $_ twice" for @{ $search->{ids} };
  }
  return @searches;
}

# The exact results of `searches`, by sorting all rows. Sorted anew each time, so that they hold after changes.
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
    # Searches with a condition go on until the limit is met.
    my $found = @{ $searches[$query]{ids} };
    die sprintf 'a search found %d rows where there are %d', $found, scalar @distances if $options{where} && $found != @distances;
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

# The number of rows not met on a walk through the whole index.
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

# Damage found by hnsw_check, missing rows included: an empty string if all is well. Options: index, and
# all: true for warnings too, mended: the same but for what a crash leaves and nobody mends, pages added and never written.
sub check {
  my ($node, %options) = @_;
  my $index = $options{index} // 'wordnet_embedding';
  my $which = $options{all} ? 'true' : $options{mended} ? "finding <> 'page was never written'" : "severity = 'error'";
  return $node->safe_psql('postgres', "SELECT * FROM hnsw_check('$index', heapallindexed => true) WHERE $which LIMIT 20");
}

# The number of some rows that are not the first that a search for their own vector finds, or as near as the first.
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
  my ($distance) = ($options{operator_class} // 'vector_l2_ops') =~ /_(\w+)_ops$/;
  return $operator{$distance};
}

sub search {
  my (%options) = @_;
  my ($operator, $limit) = (operator(%options), $options{limit} // 10);
  my $where = $options{where} ? "WHERE $options{where}" : '';
  return <<"SQL";
SELECT (SELECT string_agg(id || ' ' || d, ',') FROM
    (SELECT id, w.embedding $operator q.embedding AS d FROM wordnet w $where ORDER BY w.embedding $operator q.embedding LIMIT $limit) s)
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

# The bytes of an index but for what is of the moment: each page's LSN and checksum.
sub digest {
  my ($node, $index) = @_;
  $node->safe_psql('postgres', 'CHECKPOINT');
  my $bytes = slurp_file($node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$index')"));
  my $pages = length($bytes) / 8192;
  substr($bytes, $_ * 8192, 10) = "\0" x 10 for 0 .. $pages - 1;
  return "$pages pages, " . md5_hex($bytes);
}

# The number of files of relations that no catalog knows.
sub stray_files {
  my ($node) = @_;
  $node->safe_psql('postgres', 'CHECKPOINT');
  return $node->safe_psql('postgres', <<'SQL');
SELECT count(*) FROM pg_database d, pg_ls_dir('base/' || d.oid) file
  WHERE datname = current_database() AND file ~ '^\d+' AND
    NOT EXISTS (SELECT FROM pg_class WHERE pg_relation_filenode(oid) = substring(file FROM '^\d+')::oid)
SQL
}

# A psql session that works through statements on its own. `finish` ends it when the server or the statements do.
sub session {
  my ($node, @statements) = @_;
  my $output = '';
  my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements);
  return { run => IPC::Run::start(\@psql, '<', \undef, '>', \$output, '2>&1'), output => \$output };
}

# A psql session that works through a script, backslash commands too, each statement in a transaction of its own. What it says
# of a statement it says after its commit.
sub script {
  my ($node, $script) = @_;
  my $output = '';
  my $file = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
  append_to_file($file, $script);
  my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file);
  return { run => IPC::Run::start(\@psql, '<', \undef, '>', \$output, '2>&1'), output => \$output };
}

# Waits for a session and gives what it said; dies unless the session succeeded.
sub output {
  my ($session) = @_;
  $session->{run}->finish or die "a session failed: ${ $session->{output} }";
  return ${ $session->{output} };
}

# Kills all processes of the server at once; done when they are gone. What it has given to the operating system stays, as it
# would not after a power cut: tests do without fsync.
sub crash {
  my ($node) = @_;
  my @all = processes($node);
  $node->kill9;
  kill 9, @all;
  wait_until(sub { !kill 0, @all }, 'the killed server to end');
}

# The postmaster and its children; none where a starting server has not yet written who it is, over what a killed one wrote.
sub processes {
  my ($node) = @_;
  my ($postmaster) = (eval { slurp_file($node->data_dir . '/postmaster.pid') } // '') =~ /^(\d+)\n/ or return;
  return if (readlink("/proc/$postmaster/cwd") // '') ne realpath($node->data_dir);
  return ($postmaster, grep { (parent($_) // 0) == $postmaster } map { m{(\d+)$} } glob '/proc/[0-9]*');
}

sub parent {
  my ($process) = @_;
  open my $stat, '<', "/proc/$process/stat" or return;
  return (<$stat> // '') =~ /^\d+ \(.*\) \S (\d+)/s ? $1 : undef;
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

# Waits for a server that restarts by itself after the crash of a backend; `log_before` is the size of its log before the crash. A
# server that has not noticed the crash yet still takes connections, so its log has to name the restart first. Not by
# `poll_query_until`: it dies when psql ends for want of a server before it got its statement.
sub wait_for_server {
  my ($node, $log_before) = @_;
  wait_until(sub { slurp_file($node->logfile, $log_before) =~ /all server processes terminated; reinitializing/ }, 'the server to notice');
  my @psql = ('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT true');
  wait_until(sub { IPC::Run::run(\@psql, '<', \undef, '>', \my $output, '2>', \my $error) }, 'the server to recover');
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

# True if tests may take their time: ./dev test --long
sub long { return $ENV{OMENDB_LONG} ? 1 : 0; }

1;
