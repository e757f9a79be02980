# Damage: bytes of an index are changed while the server is down. Searches, inserts and vacuums then report index and
# block, or work; nothing crashes, nothing runs for ever, nothing takes more memory than a limit allows. hnsw_check says
# beforehand what is wrong, whatever it is, and does not fail itself. OMENDB_SEED=N chooses other mutations,
# OMENDB_MUTATIONS=N how many.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant PAGE => 8192;

my $seed = $ENV{OMENDB_SEED} // 1;
my $mutations = $ENV{OMENDB_MUTATIONS} // ($ENV{OMENDB_LONG} ? 10_000 : 200);
# Copies that are damaged while the server is down once.
my $copies = $mutations < 200 ? $mutations : 200;
note "OMENDB_SEED=$seed OMENDB_MUTATIONS=$mutations";
srand $seed;

# Whoever asks for more memory than this gets none, and a process that cannot bear that ends.
my $limited = !system 'prlimit', '--pid', $$, '--as=1500000000';
note 'prlimit is not there: memory is not limited' unless $limited;

my $node = PostgreSQL::Test::Cluster->new('corrupt');
$node->init;
# Checksums, where initdb turns them on, would catch all of this before we see it.
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
log_min_error_statement = panic
autovacuum = off
ignore_checksum_failure = on
shared_buffers = 64MB
max_locks_per_transaction = 4096
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', @_); }

sql(<<'SQL');
CREATE EXTENSION omendb;
CREATE FUNCTION sample(i int, dimensions int) RETURNS vector LANGUAGE sql IMMUTABLE AS
  'SELECT array_agg(hashint4(i * dimensions + j) % 100)::vector FROM generate_series(1, dimensions) j';
SQL

# Indexes with codes of each kind: 4 bits, 8 bits, floats; three with key columns, one of them with graphs of values; and one whose center
# takes two pages.
my @originals = (
  { name => 'l2', type => 'vector(40)', operator => '<->', class => 'vector_l2_ops, id', with => 'm = 4, ef_construction = 32' },
  { name => 'cosine', type => 'halfvec(40)', operator => '<=>', class => 'halfvec_cosine_ops', with => 'm = 4, ef_construction = 32' },
  { name => 'l1', type => 'vector(40)', operator => '<+>', class => 'vector_l1_ops', with => 'm = 5, ef_construction = 16' },
  { name => 'short', type => 'vector(3)', operator => '<#>', class => 'vector_ip_ops, id, (id % 7)', with => 'm = 2, ef_construction = 8' },
  { name => 'graphs', type => 'vector(40)', operator => '<->', class => 'vector_l2_ops, (id % 3)',
    with => 'm = 4, ef_construction = 32, graphs = expr' },
  { name => 'wide', type => 'halfvec(2100)', operator => '<->', class => 'halfvec_l2_ops', with => 'm = 2, ef_construction = 8', rows => 24 });

# Empty tables first, to be given the files of an original: older than its rows, as Postgres checks.
sub create {
  my ($name, $original) = @_;
  my ($type, $class, $with) = @$original{qw(type class with)};
  return "CREATE TABLE $name (id int, embedding $type); ALTER TABLE $name ALTER embedding SET STORAGE PLAIN;
    CREATE INDEX ${name}_index ON $name USING hnsw (embedding $class) WITH ($with);";
}
# Copy 0 is left as it is, so that all that follows is known to work on it. The wide ones are few: they take long.
my @original_of = map { $_ % 20 == 19 ? $originals[5] : $originals[ $_ % 5 ] } 0 .. $copies;
sql(join '', map { create("copy_$_", $original_of[$_]) } 0 .. $copies);
fill($_) for @originals;

my %path_of = map { split /\|/ } split /\n/, sql(q(SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^(original|copy)_'));
$node->stop;
for my $original (@originals) {
  my ($name, $former) = @$original{qw(name former)};
  my $table = slurp_file($node->data_dir . "/$path_of{\"original_$name\"}");
  my $index = slurp_file($node->data_dir . "/$path_of{\"original_${name}_index\"}");
  @$original{qw(table index pages)} = ($table, $index, length($index) / PAGE);
  cmp_ok($original->{pages}, '>=', 4, "$name: an index of $original->{pages} pages");
  isnt($index, $former, "$name: not what it was before the last changes");
}

my ($done, $reported, $unnoticed, $found, @wrong) = (0, 0, 0, 0);
while ($done < $mutations) {
  my $round = $mutations - $done < $copies ? $mutations - $done : $copies;
  my @done_to = damage($round);
  $node->start;
  examine($round, \@done_to);
  $done += $round;
  last if grep { /crashed/ } @wrong;
  note "$done mutations, $reported reported" if $mutations > $copies;
  $node->stop if $done < $mutations;
}
is(join("\n", @wrong), '', 'damage is reported with index and block, or tolerated');
cmp_ok($reported, '>', $done / 10, "$reported of $done mutations were reported as damage, $unnoticed not");
cmp_ok($found, '>', $reported, "the check found damage after $found of them");
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the server runs');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'no process of the server crashed');

# REINDEX repairs each of them.
for my $copy (1 .. 10) {
  sql("REINDEX INDEX copy_${copy}_index");
  is(sql("SELECT count(*) FROM hnsw_check('copy_${copy}_index', true)"), '0', "copy $copy is as new after a REINDEX");
}
$node->stop;
done_testing();

# A small index with everything in it: a center, upper levels, rows in slots of their own, slots freed by vacuum.
sub fill {
  my ($original) = @_;
  my ($name, $rows) = ($original->{name}, $original->{rows} // 400);
  my ($type, $dimensions) = $original->{type} =~ /(\w+)\((\d+)\)/;
  my $sample = sub { "sample($_[0], $dimensions)::$type" };
  $original->{sample} = $sample;
  $original->{queries} = "(SELECT i, @{[ $sample->('5000 + i') ]} AS embedding FROM generate_series(1, 4) i)";
  my $duplicates = $rows / 4;
  sql(create("original_$name", $original));
  sql("INSERT INTO original_$name SELECT i, @{[ $sample->(q(i)) ]} FROM generate_series(1, $rows) i");
  sql(<<"SQL");
INSERT INTO original_$name SELECT $rows + i, @{[ $sample->('7') ]} FROM generate_series(1, $duplicates) i;
REINDEX INDEX original_${name}_index;
DELETE FROM original_$name WHERE id % 10 = 3;
VACUUM original_$name;
CHECKPOINT;
SQL
  # A page as it is now, in the place of what it becomes, is a write that was lost.
  $original->{former} = slurp_file($node->data_dir . '/' . sql("SELECT pg_relation_filepath('original_${name}_index')"));
  sql(<<"SQL");
INSERT INTO original_$name SELECT 1000 + i, @{[ $sample->('1000 + i') ]} FROM generate_series(1, 20) i;
INSERT INTO original_$name SELECT 1100 + i, @{[ $sample->('7') ]} FROM generate_series(1, 50) i;
DELETE FROM original_$name WHERE id % 10 = 4;
VACUUM original_$name;
SQL
}

# Gives the copies the files of their originals, the index with mutations. Says what was done to each.
sub damage {
  my ($round) = @_;
  my @done_to = 'nothing';
  for my $copy (0 .. $round) {
    my $original = $original_of[$copy];
    my $bytes = $original->{index};
    $done_to[$copy] = join ', ', map { mutate(\$bytes, $original) } 1 .. (rand() < 0.8 ? 1 : 2 + int rand 3) if $copy;
    write_file("copy_$copy", $original->{table});
    write_file("copy_${copy}_index", $bytes);
    my $path = $node->data_dir . '/' . $path_of{"copy_$copy"};
    unlink "${path}_fsm", "${path}_vm";
  }
  return @done_to;
}

# Works on all copies in one session, which has to bear what each of them does to it.
sub examine {
  my ($round, $done_to) = @_;
  my $script = "\\set VERBOSITY verbose\nSET enable_seqscan = off;\nSET client_min_messages = error;\nSET statement_timeout = '60s';\n";
  $script .= join '', map { "\\echo copy $_\n\\warn copy $_\n" . statements($_) } 0 .. $round;
  my ($status, $output, $error) = $node->psql('postgres', $script, on_error_stop => 0);
  my %output_of = by_copy($output);
  my %errors_of = by_copy($error);
  for my $copy (0 .. $round) {
    my ($errors, @answers) = split /\n/, $output_of{$copy} // '';
    my $original = $original_of[$copy];
    my $what = "copy $copy ($original->{name}), $done_to->[$copy]";
    my ($during_check, $later) = split /^checked$/m, $errors_of{$copy} // '';
    push @wrong, "$what: the check fails: $during_check" if ($during_check // '') =~ /\S/;
    my @said = ($later // '') =~ /^(?:psql:\S+ )?(?:ERROR|FATAL|PANIC|server closed|connection to server).*/mg;
    push @wrong, "$what: $_" for grep { !is_report($_, $copy) } @said;
    push @wrong, "$what: an answer is wrong: @answers" if !@said && "@answers" ne 't t t t t t';
    push @wrong, "$what: the check did not find what became: @said" if @said && !$errors;
    @said ? $reported++ : $unnoticed++ if $copy;
    $found++ if $errors;
    is_deeply([ @said, $errors ], [0], 'undamaged: no error') unless $copy;
    if (!defined $output_of{ $copy + 1 } && $copy < $round) {
      push @wrong, "$what: the session has crashed";
      last;
    }
  }
  push @wrong, "the session has crashed: $status, $error" if $status == 2;
}

# The lines after each line that names a copy, by copy.
sub by_copy { return (split /^copy (\d+)\n?/m, $_[0])[ 1 .. 2 * (() = $_[0] =~ /^copy \d+$/mg) ]; }

# A check, which says how much is wrong; then searches for the nearest and for all, a look at all pages, an insert, a vacuum,
# and a search after them. A search says whether its rows are in order.
sub statements {
  my ($copy) = @_;
  my $original = $original_of[$copy];
  my ($operator, $sample, $queries) = @$original{qw(operator sample queries)};
  my $search = <<"SQL";
SELECT bool_and(d >= previous) FROM (SELECT d, CASE WHEN lag(i) OVER () = i THEN lag(d) OVER () END AS previous FROM
  (SELECT q.i, s.d FROM $queries q, LATERAL (SELECT c.embedding $operator q.embedding AS d FROM copy_$copy c
    ORDER BY c.embedding $operator q.embedding LIMIT 20) s) s) s;
SQL
  return <<"SQL";
SELECT count(*) FROM hnsw_check('copy_${copy}_index', true) WHERE severity = 'error';
\\warn checked
$search
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*) > 0 FROM (SELECT id FROM copy_$copy ORDER BY embedding $operator @{[ $sample->('5001') ]}) s;
RESET hnsw.iterative_scan;
SELECT count(*) = count(DISTINCT id) FROM
  (SELECT id FROM copy_$copy WHERE id BETWEEN 20 AND 120 ORDER BY embedding $operator @{[ $sample->('5002') ]} LIMIT 50) s;
SELECT count(*) = count(DISTINCT id) FROM
  (SELECT id FROM copy_$copy WHERE id % 3 = 1 ORDER BY embedding $operator @{[ $sample->('5003') ]} LIMIT 50) s;
SELECT elements > 0 FROM hnsw_index_info('copy_${copy}_index');
INSERT INTO copy_$copy SELECT 2000 + i, @{[ $sample->('2000 + i') ]} FROM generate_series(1, 10) i;
INSERT INTO copy_$copy SELECT 2100 + i, @{[ $sample->('7') ]} FROM generate_series(1, 10) i;
UPDATE copy_$copy SET id = id + 5000 WHERE id % 9 = 0;
DELETE FROM copy_$copy WHERE id % 5 = 0;
VACUUM copy_$copy;
$search
SQL
}

# Ours, or Postgres's own where it does not even take the page for one.
sub is_report {
  my ($line, $copy) = @_;
  return 1 if $line =~ /XX002: index "copy_${copy}_index" is corrupt at block \d+: ./;
  return $line =~ /XX001: invalid page in block \d+ of relation $path_of{"copy_${copy}_index"}$/;
}

sub write_file {
  my ($name, $bytes) = @_;
  open my $file, '>:raw', $node->data_dir . "/$path_of{$name}" or die $!;
  print $file $bytes;
  close $file or die $!;
}

# Changes some bytes in one of several ways; says what was done.
sub mutate {
  my ($bytes, $original) = @_;
  my $pages = int(length($$bytes) / PAGE) or return 'nothing more';
  my $page = int rand $pages;
  my $at = PAGE * $page + (rand() < 0.1 ? int rand 24 : rand() < 0.1 ? PAGE - 16 + int rand 16 : used_byte($bytes, $page));
  my $where = sprintf 'block %d byte %d', $at / PAGE, $at % PAGE;
  my $way = int rand 14;
  if ($way < 3) {
    substr($$bytes, $at, 1) ^= chr(1 << int rand 8);
    return "a bit flipped at $where";
  }
  if ($way < 5) {
    my $length = 1 + int rand 12;
    substr($$bytes, $at, $length) = substr random_bytes($length), 0, length substr $$bytes, $at, $length;
    return "$length random bytes at $where";
  }
  if ($way < 8) {
    $at -= $at % 4;
    my $word = (0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0xfffffffe, 0xffffffff, int rand 5000)[ rand 9 ];
    substr($$bytes, $at, 4) = pack 'V', $word;
    return "$word at $where";
  }
  if ($way == 8) {
    substr($$bytes, $page * PAGE, PAGE) = "\0" x PAGE;
    return "block $page zeroed";
  }
  if ($way == 9) {
    my $other = int rand $pages;
    my $copy = substr $$bytes, $other * PAGE, PAGE;
    substr($$bytes, $other * PAGE, PAGE) = substr $$bytes, $page * PAGE, PAGE if rand() < 0.5;
    substr($$bytes, $page * PAGE, PAGE) = $copy;
    return "block $other written to block $page";
  }
  if ($way == 10) {
    my $other = $originals[ rand @originals ];
    substr($$bytes, $page * PAGE, PAGE) = substr $other->{index}, PAGE * int(rand $other->{pages}), PAGE;
    return "block $page from $other->{name}";
  }
  if ($way == 11) {
    my $former = substr $original->{former}, $page * PAGE, PAGE;
    return mutate($bytes, $original) unless length $former;
    substr($$bytes, $page * PAGE, PAGE) = $former;
    return "block $page as it was";
  }
  if ($way == 12) {
    my $length = PAGE - 24 - 16;
    my $from = $page * PAGE + 24 + int rand $length / 2;
    my $to = $page * PAGE + 24 + int rand $length / 2;
    substr($$bytes, $to, 200) = substr $$bytes, $from, 200;
    return "200 bytes of block $page moved from $from to $to";
  }
  # A file may also end within a page, or have none.
  my $end = rand() < 0.5 ? PAGE * int rand $pages : int rand length $$bytes;
  substr($$bytes, $end) = '';
  return "cut to $end bytes";
}

# A byte before the end of a page's used part.
sub used_byte {
  my ($bytes, $page) = @_;
  my $lower = unpack 'v', substr $$bytes, $page * PAGE + 12, 2;
  return 24 + int rand($lower > 24 && $lower < PAGE ? $lower - 24 : PAGE - 24);
}

sub random_bytes { return join '', map { chr int rand 256 } 1 .. $_[0] }
