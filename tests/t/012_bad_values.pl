# Literals and binary messages that are random, or near what is right: each is an error of a known kind, or a value that comes
# back the same. Where pgvector is there, it says the same of each. OMENDB_VALUES says how many literals and messages of each type,
# OMENDB_SEED chooses others.
use strict;
use warnings;
use Alias;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $count = $ENV{OMENDB_VALUES} || ($ENV{OMENDB_LONG} ? 100_000 : 1_000);
my $seed = $ENV{OMENDB_SEED} || 20_260_101;
srand $seed;
note("$count of each, from seed $seed");

my @numbers = qw(0 -0 1 -1 1.5 .5 5. . - + 1e 1e+ 1e3 -2.5e-3 3.4028235e38 3.4028236e38 -3.5e38 1e-45 7e-46 -1e-46 65504 65519 65520 -65536
  6e-8 2e-8 1e400 -1e400 1e-400 nan NaN -nan inf -Infinity infinit 0x1p3 0x 0x.8p-1 0b1 1_000 1d3 1f 00012 1e0000000005 +7 --1 1e99999999999
  1000000000 1000000001 2147483647 2147483648 -2147483648 4294967297 18446744073709551616 16777217 0.1 123456789.123456789);
my @characters = (split(//, "[]{}:,/+-.eExXpPnaifty_\"'\\ \t\n\r\x0b\x0c0123456789\x01\x7f"), "\xc3\xa4", "\xe2\x82\xac", "\xef\xbc\x91", "\xc2\xa0");

sub one_of { return $_[ int rand @_ ] }

sub space { return rand() < .1 ? one_of(' ', "\t", "\n", '  ', "\x0b", "\x0c", "\r") : '' }

sub number {
  return one_of(@numbers) if rand() < .2;
  return sprintf('%.*g', 1 + rand 12, (rand() - .5) * 10**int(rand(12) - 6));
}

# The elements of a list may be many: limits are met, too.
sub elements { return rand() < .002 ? 15_990 + int rand 20 : int rand 6 }

sub dense { return space() . '[' . join(',', map { space() . number() . space() } 1 .. elements()) . ']' . space() }

sub sparse {
  my $dimensions = rand() < .8 ? 1 + int rand 10 : one_of(@numbers);
  my $pairs = join(',', map { space() . (rand() < .9 ? 1 + int rand 10 : one_of(@numbers)) . space() . ':' . space() . number() . space() } 1 .. elements());
  return space() . "{$pairs}" . space() . '/' . space() . $dimensions . space();
}

sub mutated {
  my ($text, @alphabet) = @_;
  for (1 .. one_of(0, 1, 1, 2, 5)) {
    my $at = int rand(1 + length $text);
    my $kind = int rand 5;
    if ($kind == 0) { substr($text, $at, 0) = one_of(@alphabet) }
    elsif ($kind == 1) { substr($text, $at, 1 + int rand 3) = '' }
    elsif ($kind == 2) { substr($text, $at, 1) = one_of(@alphabet) }
    elsif ($kind == 3) { substr($text, $at, 0) = substr($text, int rand(1 + length $text), 1 + int rand 8) }
    else { $text = substr($text, 0, $at) }
  }
  return $text;
}

sub literal {
  my ($type) = @_;
  return join '', map { one_of(@characters) } 1 .. rand 30 if rand() < .05;
  my $text = $type eq 'sparsevec' ? sparse() : dense();
  # A character of several bytes may not be cut: literals are text.
  utf8::decode($text);
  $text = mutated($text, map { my $character = $_; utf8::decode($character); $character } @characters);
  utf8::encode($text);
  return $text;
}

sub message {
  my ($type) = @_;
  my @bytes = map { chr } 0, 1, 2, 0x3c, 0x3e, 0x3f, 0x7c, 0x7f, 0x80, 0xff;
  return join '', map { one_of(@bytes) } 1 .. rand 30 if rand() < .05;
  my $count = int rand 5;
  my $message;
  if ($type eq 'sparsevec') {
    my @indices = sort { $a <=> $b } map { int rand 12 } 1 .. $count;
    $message = pack('N3', 12, $count, 0) . pack('N*', @indices) . pack('f>*', map { (rand() - .4) * 8 } 1 .. $count);
  } elsif ($type eq 'vector') {
    $message = pack('n2', $count, 0) . pack('f>*', map { (rand() - .4) * 8 } 1 .. $count);
  } else {
    $message = pack('n2', $count, 0) . pack('n*', map { int rand 65_536 } 1 .. $count);
  }
  return mutated($message, @bytes);
}

my $node = PostgreSQL::Test::Cluster->new('bad_values');
$node->init;
# Statements fail by the thousand: none of that is logged, nor written safely.
$node->append_conf('postgresql.conf', "log_min_messages = log\nlog_statement = none\nfsync = off\nautovacuum = off\n");
$node->start;

my %extensions = (omendb => 'omendb', Alias::has_pgvector() ? (pgvector => 'vector') : ());
my $file = $node->basedir . '/message';
for my $database (sort keys %extensions) {
  $node->safe_psql('postgres', "CREATE DATABASE $database ENCODING 'UTF8' TEMPLATE template0");
  $node->safe_psql($database, "CREATE EXTENSION $extensions{$database}" . <<'SQL');
;
CREATE TABLE given (type text, form text, id int, bytes bytea);
CREATE TABLE verdicts (type text, form text, id int, verdict text);

-- The verdict on a literal: the error, or the value as it is sent. A value that reads back as another is an error of its own.
CREATE FUNCTION literal_verdict(type text, literal text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  sent bytea; again bytea; state text; message text;
BEGIN
  EXECUTE format('SELECT %1$s_send(v), %1$s_send(v::text::%1$s) FROM (SELECT $1::%1$s AS v) s', type) INTO sent, again USING literal;
  RETURN CASE WHEN sent = again THEN sent::text ELSE 'does not round-trip' END;
EXCEPTION WHEN others THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
  RETURN concat_ws(' ', state, message);
END $$;

-- bytea is sent as it is, so that a COPY of it can be read as another type.
CREATE FUNCTION message_verdict(type text, bytes bytea, file text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  sent bytea; state text; message text;
BEGIN
  EXECUTE format('COPY (SELECT %L::bytea) TO %L (FORMAT binary)', bytes, file);
  EXECUTE format('COPY received_%s FROM %L (FORMAT binary)', type, file);
  EXECUTE format('DELETE FROM received_%1$s RETURNING %1$s_send(v)', type) INTO sent;
  RETURN CASE WHEN sent = bytes THEN sent::text ELSE 'does not round-trip' END;
EXCEPTION WHEN others THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
  RETURN concat_ws(' ', state, message);
END $$;
SQL
}

for my $type (qw(vector halfvec sparsevec)) {
  for (my $first = 1; $first <= $count; $first += 100_000) {
    my $rows = "COPY given FROM STDIN;\n";
    for my $id ($first .. min($count, $first + 99_999)) {
      $rows .= join("\t", $type, 'literal', $id, '\\\\x' . unpack('H*', literal($type))) . "\n";
      $rows .= join("\t", $type, 'message', $id, '\\\\x' . unpack('H*', message($type))) . "\n";
    }
    $node->safe_psql($_, "$rows\\.\n") for sort keys %extensions;
  }
  for my $database (sort keys %extensions) {
    $node->safe_psql($database, <<"SQL");
SET synchronous_commit = off;
CREATE UNLOGGED TABLE received_$type (v $type);
INSERT INTO verdicts SELECT type, form, id, literal_verdict(type, convert_from(bytes, 'UTF8')) FROM given WHERE type = '$type' AND form = 'literal';
INSERT INTO verdicts SELECT type, form, id, message_verdict(type, bytes, '$file') FROM given WHERE type = '$type' AND form = 'message';
SQL
  }
  for my $form (qw(literal message)) {
    my $of = "FROM verdicts WHERE type = '$type' AND form = '$form'";
    my ($values, $errors) = split /\|/, $node->safe_psql('omendb', "SELECT count(*) FILTER (WHERE verdict ^@ '\\x'), count(*) FILTER (WHERE NOT verdict ^@ '\\x') $of");
    note("${form}s of $type: $values values, $errors errors");
    cmp_ok($values, '>', $count / 20, "some ${form}s of $type are values");
    cmp_ok($errors, '>', $count / 20, 'some are not');
    is($node->safe_psql('omendb', "SELECT id, verdict $of AND verdict !~ '^\\\\x|^(22000|22003|22P02|22P03|54000|08P01) ' LIMIT 5"),
      '', "each is a value that comes back the same or an error of a known kind");
  }
}

if ($extensions{pgvector}) {
  my %verdicts = map { $_ => $node->basedir . "/$_" } keys %extensions;
  $node->safe_psql($_, "COPY (SELECT v.*, given.bytes FROM verdicts v JOIN given USING (type, form, id) ORDER BY type, form, id) TO '$verdicts{$_}'") for keys %extensions;
  my @lines = map { [ split /\n/, slurp_file($verdicts{$_}) ] } qw(omendb pgvector);
  # A message cut off and wrong besides may have either error first.
  my @differences = grep {
    $lines[0][$_] ne $lines[1][$_] && !($lines[0][$_] =~ /\t08P01 / && $lines[1][$_] =~ /\t(22000|54000) /)
  } 0 .. $#{ $lines[0] };
  is(scalar @differences, 0, 'pgvector says the same of each')
    or diag(map { "omendb:   $lines[0][$_]\npgvector: $lines[1][$_]\n" } grep { defined } @differences[0 .. 20]);
}
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'no backend crashed');
$node->stop;
done_testing();
