# Databases in other encodings than UTF-8, and servers that speak other languages than English: bytes go out as they came in,
# and an error keeps its code, whatever its words.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# An encoding, a word in it of which no byte but the first is ASCII, and a translated locale whose words go into the encoding.
my @encodings = (
  ['UTF8', "x\xc3\xa4\xe2\x82\xac", 'de_DE'],
  ['LATIN1', "x\xe4\xf6", 'de_DE'],
  ['WIN1252', "x\xe4\x80", 'de_DE'],
  ['EUC_JP', "x\xa4\xa2\xa4\xa4", 'ja_JP'],
  ['SQL_ASCII', "x\xe4\xff\x80", 'de_DE'],
);

my $node = PostgreSQL::Test::Cluster->new('encodings');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 1\n");
$node->start;

# Answer, complaint and SQLSTATE of a statement, as bytes of the database's encoding.
sub ask {
  my ($database, $sql, $client) = @_;
  local $ENV{PGCLIENTENCODING} = $client // $database;
  my ($out, $err);
  $node->psql($database, "\\set VERBOSITY verbose\n$sql", stdout => \$out, stderr => \$err);
  return ($out, $err);
}

# A complaint of this code that contains the bytes.
sub complains {
  my ($database, $sql, $state, $words, $test) = @_;
  my ($out, $err) = ask($database, $sql);
  my $right = $err =~ /:  $state: / && index($err, $words) >= 0;
  ok($right, "$database: $test") or diag($err);
  return;
}

# The name by which the machine knows a locale, if the server has its words.
sub translated {
  my ($language) = @_;
  for my $name (grep { /^\Q$language\E/ } split /\n/, `locale -a`) {
    my ($out, $err) = ask('UTF8', "SET lc_messages = '$name'; SELECT 1 / 0");
    return $name if $err !~ /division by zero/ && $err =~ /22012/;
  }
  return;
}

for (@encodings) {
  my ($encoding, $word) = @$_;
  $node->safe_psql('postgres',
    qq{CREATE DATABASE "$encoding" TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'});
  $node->safe_psql($encoding, 'CREATE EXTENSION omendb');
  ask($encoding, 'CREATE EXTENSION pageinspect');

  # Literals.
  for (['vector', "[1,$word]"], ['halfvec', "[1,$word]"], ['sparsevec', "{1:$word}/2"], ['vector', "$word\[1]"]) {
    my ($type, $literal) = @$_;
    complains($encoding, "SELECT '$literal'::$type", '22P02', qq{invalid input syntax for type $type: "$literal"},
      "a literal of $type comes back as it was given");
  }
  # Names, in messages that are no errors.
  $node->safe_psql($encoding, 'CREATE TABLE late AS SELECT ARRAY(SELECT sin(i * j * 1.7) FROM generate_series(1, 12) j)::vector(12) AS e
    FROM generate_series(1, 4000) i');
  complains($encoding, qq{CREATE INDEX "$word" ON late USING hnsw (e vector_l2_ops); SET enable_seqscan = off; SET enable_sort = off;
    SET hnsw.max_scan_tuples = 1; SET client_min_messages = debug1;
    SELECT count(*) FROM (SELECT e FROM late ORDER BY e <-> (SELECT e FROM late LIMIT 1) LIMIT 2000) s}, '00000',
    qq{scan of index "$word" left out}, 'a scan names its index as it was named');
  my $letter = substr $word, 1, $encoding eq 'EUC_JP' || $encoding eq 'UTF8' ? 2 : 1;
  for my $shift (0, 1) {
    my $literal = '[' . 'x' x $shift . $letter x 3_000 . ']';
    my $kept = substr $literal, 0, 998;
    complains($encoding, "SELECT '$literal'::vector", '22P02', $kept, 'a long literal is shown from its start');
    my ($out, $err) = ask($encoding, "SELECT '$literal'::vector", $encoding);
    my ($shown) = $err =~ /type vector: "(.*?)"/s;
    ok(length $shown < 1_100, "$encoding: and not much of it");
    my ($whole) = $shown =~ /^(.*?)(?:\.\.\.)?$/s;
    is((length($whole) - 1 - $shift) % length $letter, 0, "$encoding: cut between two characters");
  }

  # Names.
  my ($table, $index) = ("$word table", "$word index");
  ask($encoding, qq{CREATE TABLE "$table" (id int, e vector(2), n int);
    INSERT INTO "$table" SELECT i, ARRAY[i, 1], i FROM generate_series(1, 300) AS i;
    CREATE INDEX "$index" ON "$table" USING hnsw (e vector_l2_ops);
    CREATE INDEX "btree $word" ON "$table" (n)});
  complains($encoding, qq{SELECT hnsw_check('"btree $word"')}, '42809', qq{"btree $word" is not an hnsw index}, 'a name in a message of ours');
  my ($out, $err) = ask($encoding, qq{SELECT count(*) FROM hnsw_check('"$index"', true)});
  is($out . $err, '0', "$encoding: an index of such a name is whole");

  # Errors of other functions pass through us: in an index expression, with all fields of an error.
  my $raise = qq{CREATE FUNCTION picky(n int) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN
      RAISE EXCEPTION 'no $word' USING ERRCODE = 'OM123', DETAIL = 'detail $word', HINT = 'hint $word', COLUMN = 'column $word';
    END \$\$};
  ask($encoding, $raise);
  for my $words ("no $word", "detail $word", "hint $word", "column $word", 'picky(integer) line 2 at RAISE') {
    complains($encoding, qq{CREATE INDEX ON "$table" USING hnsw ((picky(id)::vector(2)) vector_l2_ops)}, 'OM123', $words, 'an error passes through a build');
  }
}

# A client that wants UTF-8 gets it.
for (['LATIN1', "\xe4", "\xc3\xa4"], ['EUC_JP', "\xa4\xa2", "\xe3\x81\x82"], ['WIN1252', "\x80", "\xe2\x82\xac"]) {
  my ($encoding, $bytes, $utf8) = @$_;
  my ($out, $err) = ask($encoding, "SELECT '[1,$utf8]'::vector", 'UTF8');
  like($err, qr/22P02: invalid input syntax for type vector: "\[1,$utf8\]"/, "$encoding: the client's own encoding");
}

# A lock that is not had, in Postgres's own words.
ask('UTF8', q{CREATE TABLE other (n int); BEGIN; LOCK TABLE other; PREPARE TRANSACTION 'holder';
  CREATE FUNCTION waits(n int) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM 1 FROM public.other; RETURN ARRAY[n, 1]; END $$;
  CREATE TABLE waiting AS SELECT 1 AS n});
complains('UTF8', q{SET lock_timeout = '100ms'; CREATE INDEX ON waiting USING hnsw ((waits(n)::vector(2)) vector_l2_ops)}, '55P03',
  'canceling statement due to lock timeout', 'a build does not get a lock');
ask('UTF8', q{ROLLBACK PREPARED 'holder'});

# Damage, of which Postgres speaks in its own words, and which a check shows as rows.
for (@encodings) {
  my ($encoding, $word) = @$_;
  my ($path) = ask($encoding, qq{CHECKPOINT; SELECT pg_relation_filepath('"$word index"')});
  my ($block) = ask($encoding, qq{SELECT pg_relation_size('"$word index"') / 8192 - 1});
  $_->[3] = [$node->data_dir . "/$path", $block];
}
$node->stop;
for (@encodings) {
  my ($path, $block) = @{ $_->[3] };
  open my $file, '+<:raw', $path or die "$path: $!";
  seek $file, $block * 8192 + 8, 0;
  print $file "\xff" x 16;
  close $file;
}
$node->start;

for (@encodings) {
  my ($encoding, $word, $language) = @$_;
  my $locale = translated($language);
  my $slow = qq{CREATE OR REPLACE FUNCTION slow(n int) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN
      PERFORM pg_sleep(0.1); RETURN ARRAY[n, 1]; END \$\$};
  my $build = qq{CREATE INDEX ON "$word table" USING hnsw ((slow(id)::vector(2)) vector_l2_ops)};
  ask($encoding, $slow);
  complains($encoding, "SET statement_timeout = '200ms'; $build", '57014', 'canceling statement due to statement timeout', 'a build is cancelled');
  complains($encoding, qq{SELECT hnsw_check('"$word index"', raise => true)}, 'XX002', qq{index "$word index" is corrupt}, 'a name in a report of damage');
  my ($found) = ask($encoding, qq{SELECT finding FROM hnsw_check('"$word index"') WHERE finding LIKE '%invalid page%'});
  like($found, qr/invalid page in block/, "$encoding: a finding in Postgres's words");
SKIP: {
    skip "$encoding: no translation into the language of $language on this machine", 4 if !$locale;
    # As Postgres itself says it.
    my $say = "SET lc_messages = '$locale';";
    my ($words) = (ask($encoding, "$say SET statement_timeout = '200ms'; SELECT pg_sleep(10)"))[1] =~ /57014: (.*)/;
    unlike($words, qr/canceling/, "$encoding: translated");
    complains($encoding, "$say SET statement_timeout = '200ms'; $build", '57014', $words, 'a build is cancelled, in translation');
    complains($encoding, "$say SELECT '[1,$word]'::vector", '22P02', qq{"[1,$word]"}, 'a literal, in translation');
    my ($read) = (ask($encoding, qq{$say SELECT get_raw_page('"$word index"', $_->[3][1])}))[1] =~ /: +XX001: (.*)/;
    ($found) = ask($encoding, qq{$say SELECT string_agg(finding, '|') FROM hnsw_check('"$word index"')});
    ok(defined $read && index($found, $read) >= 0, "$encoding: a finding in translation") or diag($found);
  }
}

done_testing();
