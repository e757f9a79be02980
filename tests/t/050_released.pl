# Indexes of every release work with this library: they open, are searched, take rows, lose rows, and nothing is wrong with
# them. So do those of the working tree, which shows that the test itself works.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Released;
use Test::More;

my $tests = "$ENV{OMENDB_SQL}/../tests/released";
my $folder = PostgreSQL::Test::Utils::tempdir();
copy_to("$tests/make.sql", "$folder/make.sql");
my $here = started('working_tree', $folder);
Released::save($here, $folder);
$here->stop;
try_release('working tree', $folder);
refuses($folder);
for my $release (Released::folders()) {
  my ($version) = $release =~ m,([^/]+)$,;
  try_release($version, $release);
}
done_testing();

sub copy_to {
  my ($from, $to) = @_;
  append_to_file($to, slurp_file($from));
}

# A server with the table and the indexes of a release, made by this library.
sub started {
  my ($name, $release) = @_;
  my $node = PostgreSQL::Test::Cluster->new($name);
  $node->init;
  $node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off");
  $node->start;
  Released::make($node, "$release/make.sql");
  return $node;
}

sub try_release {
  my ($version, $release) = @_;
  (my $name = $version) =~ s/\W/_/g;
  my $node = started("with_$name", $release);
  my @indexes = Released::restore($node, $release);
  my @steps = (
    'as it was' => 'SELECT',
    'after inserts' => 'INSERT INTO fixture SELECT * FROM fixture_rows(201, 300); INSERT INTO fixture SELECT * FROM fixture_rows(1060, 1070)',
    'after deletes' => 'DELETE FROM fixture WHERE id % 4 = 1',
    'after a vacuum' => 'VACUUM fixture',
    'after rows in freed places' => 'INSERT INTO fixture SELECT * FROM fixture_rows(301, 350)',
    'after a reindex' => 'REINDEX TABLE fixture');
  while (my ($step, $statement) = splice @steps, 0, 2) {
    $node->safe_psql('postgres', $statement);
    try_index($node, $_, "$version: $_ $step", @indexes) for @indexes;
  }
  $node->stop;
}

# Pages of a version that this library does not know: each index is refused, and as good as new after a REINDEX.
sub refuses {
  my ($release) = @_;
  my $node = started('other_version', $release);
  # The version is before the page id, in the last two bytes of a page.
  my @indexes = Released::restore($node, $release, sub { substr ${ $_[0] }, 8188, 2, pack 'v', 999 });
  for my $index (@indexes) {
    my ($alone, $query) = search_by($node, $index, @indexes);
    my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$alone $query");
    like($error, qr/XX002: index "$index" is corrupt at block 0: layout version is 999/, "$index of another version is refused");
    like($error, qr/HINT:.*REINDEX/, "$index of another version: what to do");
  }
  $node->safe_psql('postgres', 'REINDEX TABLE fixture');
  try_index($node, $_, "$_ of another version after a reindex", @indexes) for @indexes;
  $node->stop;
}

# Nothing is wrong with the index, and it finds what a sort finds, while other indexes are out of the way.
sub try_index {
  my ($node, $index, $what, @indexes) = @_;
  my $sql = sub { return $node->safe_psql('postgres', join ' ', @_) };
  is($sql->("SELECT severity, block, slot, finding FROM hnsw_check('$index', heapallindexed => true)"), '', "$what: nothing is wrong");
  my ($alone, $query) = search_by($node, $index, @indexes);
  like($sql->("$alone EXPLAIN (COSTS OFF) $query; ROLLBACK"), qr/Index Scan using $index/, "$what: the index is used");
  is($sql->("$alone $query; ROLLBACK"), $sql->("SET enable_indexscan = off; $query"), "$what: the nearest rows are found");
}

# The statements that put other indexes out of the way, and the search that this one serves.
sub search_by {
  my ($node, $index, @indexes) = @_;
  my ($column, $operator, $condition) = split / /, $node->safe_psql('postgres', "SELECT obj_description('$index'::regclass)"), 3;
  $condition //= 'true';
  my $alone = join '', 'BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL hnsw.ef_search = 400;', map { "DROP INDEX $_;" } grep { $_ ne $index } @indexes;
  return ($alone, "SELECT string_agg(round(d::numeric, 4)::text, ' ')
    FROM (SELECT $column $operator (SELECT $column FROM fixture_rows(77, 77)) AS d FROM fixture WHERE $column IS NOT NULL AND $condition ORDER BY d LIMIT 20) nearest");
}
