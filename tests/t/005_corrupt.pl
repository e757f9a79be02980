# Damage: bytes of an index are changed while the server is down. Searches, inserts and vacuums then report index and
# block, or work; nothing crashes, nothing runs for ever. hnsw_check says beforehand what is wrong, whatever it is, and does
# not fail itself. OMENDB_SEED=N chooses other mutations.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant PAGE => 8192;

my $seed = $ENV{OMENDB_SEED} // 1;
my $copies = $ENV{OMENDB_LONG} ? 2000 : 200;
note "OMENDB_SEED=$seed";
srand $seed;

my $node = PostgreSQL::Test::Cluster->new('corrupt');
$node->init;
# Checksums, where initdb turns them on, would catch all of this before we see it.
$node->append_conf('postgresql.conf', "log_statement = none\nautovacuum = off\nignore_checksum_failure = on\nshared_buffers = 64MB\nmax_locks_per_transaction = 4096");
$node->start;

sub sql { return $node->safe_psql('postgres', @_); }

# Empty tables, to be given the files of the original: older than its rows, as Postgres checks.
my $definition = 'USING hnsw (embedding vector_l2_ops) WITH (m = 4, ef_construction = 32)';
sql('CREATE EXTENSION omendb; CREATE TABLE original (id int, embedding vector(40))');
sql(join '', map { "CREATE TABLE copy_$_ (LIKE original); CREATE INDEX index_$_ ON copy_$_ $definition;" } 0 .. $copies);

# A small index with everything in it: a center, upper levels, rows in slots of their own, slots freed by vacuum.
sql(<<"SQL");
CREATE FUNCTION sample(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
  'SELECT array_agg(hashint4(i * 40 + j) % 100)::vector FROM generate_series(1, 40) j';
INSERT INTO original SELECT i, sample(i) FROM generate_series(1, 400) i;
INSERT INTO original SELECT 400 + i, sample(7) FROM generate_series(1, 100) i;
CREATE INDEX original_index ON original $definition;
DELETE FROM original WHERE id % 10 = 3;
VACUUM original;
INSERT INTO original SELECT 1000 + i, sample(1000 + i) FROM generate_series(1, 20) i;
INSERT INTO original SELECT 1100 + i, sample(7) FROM generate_series(1, 50) i;
CREATE VIEW queries AS SELECT i, sample(5000 + i) AS embedding FROM generate_series(1, 4) i;
SQL

my %path_of = map { split /\|/ } split /\n/, sql(q(SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^(original|copy|index)_?'));
$node->stop;
my %bytes_of = map { $_ => slurp_file($node->data_dir . "/$path_of{$_}") } 'original', 'original_index';
my $pages = length($bytes_of{original_index}) / PAGE;
cmp_ok($pages, '>', 6, "an index of $pages pages");

# Copy 0 is left as it was, so that all that follows is known to work on it.
my %done_to = (0 => 'nothing');
write_file("copy_0", $bytes_of{original});
write_file("index_0", $bytes_of{original_index});
for my $copy (1 .. $copies) {
  my $bytes = $bytes_of{original_index};
  $done_to{$copy} = mutate(\$bytes);
  write_file("copy_$copy", $bytes_of{original});
  write_file("index_$copy", $bytes);
}
$node->start;

my ($reported, $unnoticed, $found, @wrong) = (0, 0, 0);
for my $copy (0 .. $copies) {
  my ($failed, $errors, $complaint) = $node->psql('postgres', <<"SQL");
SET statement_timeout = '60s';
SELECT count(*) FROM hnsw_check('index_$copy', true) WHERE severity = 'error';
SQL
  push @wrong, "copy $copy, $done_to{$copy}: the check fails: $complaint" if $failed or $complaint;
  last if $failed and $complaint =~ /server closed|connection to server/;
  $found++ if $errors;
  my ($status, $output, $error) = $node->psql('postgres', statements($copy), on_error_stop => 0);
  my @said = $error =~ /^(?:psql:\S+ )?(?:ERROR|FATAL|PANIC|server closed|connection to server).*/mg;
  my @unexpected = grep { !is_report($_, $copy) } @said;
  push @unexpected, 'an answer is wrong' if !@said && $output !~ /^t\nt\nt$/;
  push @unexpected, "the check did not find what became: @said" if @said && !$errors;
  push @unexpected, 'the server has crashed' if $status;
  push @wrong, "copy $copy, $done_to{$copy}: @unexpected" if @unexpected;
  @said ? $reported++ : $unnoticed++;
  last if $status;
  is_deeply([ @said, $output, $errors ], [ "t\nt\nt", 0 ], 'undamaged: no error') unless $copy;
}
is(join("\n", @wrong), '', 'damage is reported with index and block, or borne');
cmp_ok($reported, '>', $copies / 10, "$reported copies were reported as damaged, $unnoticed not");
cmp_ok($found, '>', $reported, "the check found damage in $found copies");
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server runs');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process of the server crashed');

# What REINDEX is for.
sql("REINDEX INDEX index_$_") for 1 .. 10;
$node->stop;
done_testing();

# Searches for the nearest and for all, an insert, a vacuum, and a search after them. A search says whether its rows are in
# order, and are as many as were asked for.
sub statements {
  my ($copy) = @_;
  my $search = <<"SQL";
SELECT bool_and(d >= previous) FROM (SELECT d, CASE WHEN lag(i) OVER () = i THEN lag(d) OVER () END AS previous FROM
  (SELECT q.i, s.d FROM queries q, LATERAL (SELECT c.embedding <-> q.embedding AS d FROM copy_$copy c
    ORDER BY c.embedding <-> q.embedding LIMIT 20) s) s) s;
SQL
  return <<"SQL";
\\set VERBOSITY verbose
SET statement_timeout = '60s';
SET enable_seqscan = off;
SET client_min_messages = error;
$search
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*) > 0 FROM (SELECT id FROM copy_$copy ORDER BY embedding <-> (SELECT embedding FROM queries WHERE i = 1)) s;
INSERT INTO copy_$copy SELECT 2000 + i, sample(2000 + i) FROM generate_series(1, 10) i;
INSERT INTO copy_$copy SELECT 2100 + i, sample(7) FROM generate_series(1, 10) i;
DELETE FROM copy_$copy WHERE id % 5 = 0;
VACUUM copy_$copy;
RESET hnsw.iterative_scan;
$search
SQL
}

# Ours, or Postgres's own where it does not even take the page for one.
sub is_report {
  my ($line, $copy) = @_;
  return 1 if $line =~ /XX002: index "index_$copy" is corrupt at block \d+: ./;
  return $line =~ /XX001: invalid page in block \d+ of relation $path_of{"index_$copy"}$/;
}

sub write_file {
  my ($name, $bytes) = @_;
  open my $file, '>:raw', $node->data_dir . "/$path_of{$name}" or die $!;
  print $file $bytes;
  close $file or die $!;
}

# Changes some bytes in one of several ways; says what was done.
sub mutate {
  my ($bytes) = @_;
  my $page = int rand $pages;
  my $at = PAGE * $page + (rand() < 0.1 ? int rand 24 : rand() < 0.1 ? PAGE - 16 + int rand 16 : used_byte($bytes, $page));
  my $where = sprintf 'block %d byte %d', $at / PAGE, $at % PAGE;
  my $way = int rand 10;
  if ($way < 3) {
    substr($$bytes, $at, 1) ^= chr(1 << int rand 8);
    return "a bit flipped at $where";
  }
  if ($way < 5) {
    my $length = 1 + int rand 12;
    substr($$bytes, $at, $length) = substr random_bytes($length), 0, length substr $$bytes, $at, $length;
    return "$length random bytes at $where";
  }
  if ($way < 7) {
    $at -= $at % 4;
    my $word = (0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0xfffffffe, 0xffffffff, int rand 5000)[ rand 9 ];
    substr($$bytes, $at, 4) = pack 'V', $word;
    return "$word at $where";
  }
  if ($way == 7) {
    substr($$bytes, $page * PAGE, PAGE) = "\0" x PAGE;
    return "block $page zeroed";
  }
  if ($way == 8) {
    my $other = int rand $pages;
    substr($$bytes, $page * PAGE, PAGE) = substr $$bytes, $other * PAGE, PAGE;
    return "block $other written to block $page";
  }
  substr($$bytes, PAGE * (1 + int rand($pages - 1))) = '';
  return 'cut to ' . length($$bytes) / PAGE . ' blocks';
}

# A byte before the end of a page's used part.
sub used_byte {
  my ($bytes, $page) = @_;
  my $lower = unpack 'v', substr $$bytes, $page * PAGE + 12, 2;
  return 24 + int rand($lower > 24 ? $lower - 24 : PAGE - 24);
}

sub random_bytes { return join '', map { chr int rand 256 } 1 .. $_[0] }
