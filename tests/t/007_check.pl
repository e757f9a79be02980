# hnsw_check: each kind of damage is found, at its place and without an error of the check itself; an index that is as it
# should be has no findings.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Slots;
use Test::More;

use constant { PAGE => 8192, HEADER => 24, SPECIAL => 8176, NONE => 0xffffffff };
# Fields of the metapage.
use constant { ENTRY_LEVEL => 24 + 11, CODE_LEN => 24 + 20, SLOT_LEN => 24 + 24, ENTRY => 24 + 28, CENTER => 24 + 40,
  ELEMENT_FREE => 24 + 44, KEY_WIDTHS => 24 + 72, FILTER_FIRST => 24 + 80, FILTER_FREE => 24 + 84, GROUPED_BY => 24 + 88, LEARNED => 24 + 96 };
# Fields of a filter page.
use constant { NEXT => 24, NULLS => 24 + 4, BOUNDS => 24 + 8 };
# Arrays of a filter page with one key column of four bytes: 508 entries.
use constant { ELEMENTS => 48, IMAGES => 48 + 508 * 4, TIDS => 48 + 508 * 8, NULL_BITS => 48 + 508 * 14, USED => 48 + 508 * 15 };
# Kinds of pages.
use constant { ELEMENT => 2, UPPER => 3, OVERFLOW => 4, CENTER_PAGE => 5, FILTER => 6 };
# States of slots.
use constant { LIVE => 1, DEAD => 2, FREE => 3 };

my $node = PostgreSQL::Test::Cluster->new('check');
$node->init;
# Checksums, where initdb turns them on, would catch all of this before we see it.
$node->append_conf('postgresql.conf', "autovacuum = off\nignore_checksum_failure = on\nmax_locks_per_transaction = 1024");
$node->start;

sub sql { return $node->safe_psql('postgres', @_); }

# Damage to the bytes, and a finding that it must cause.
my ($bytes, $slot_len, $code_len);
my @damages = (
  [ 'magic number' => sub { put(0, HEADER, 'V', 7) }, qr/^error\|0\|\|magic number/ ],
  [ 'metric of another index' => sub { put(0, HEADER + 9, 'C', 3) }, qr/^error\|0\|\|metapage is that of another index/ ],
  [ 'metapage zeroed' => sub { substr($bytes, 0, PAGE) = "\0" x PAGE }, qr/^error\|0\|\|./ ],
  [ 'page id' => sub { put(page(ELEMENT), PAGE - 2, 'v', 7) }, qr/^error\|\d+\|\|page id/ ],
  [ 'page version' => sub { put(page(UPPER), PAGE - 4, 'v', 7) }, qr/^error\|\d+\|\|layout version is 7/ ],
  [ 'page kind' => sub { put(page(ELEMENT), SPECIAL, 'C', 9) }, qr/^error\|\d+\|\|page kind is 9/ ],
  [ 'second metapage' => sub { put(page(ELEMENT), SPECIAL, 'C', 1) }, qr/^error\|\d+\|\|page kind is 1/ ],
  [ 'page header' => sub { put(page(ELEMENT), 12, 'v', 9000) }, qr/^error\|\d+\|\|invalid page in block/ ],
  [ 'page header, of what other pages link to' => sub { put(page($_), 12, 'v', 9000) for UPPER, OVERFLOW, CENTER_PAGE },
    qr/^error\|\d+\|\|invalid page in block.*^error\|\d+\|\|invalid page in block/ms ],
  # PostgreSQL's stack of errors has five places.
  [ 'page headers, of every page but the first' => sub { put($_, 12, 'v', 9000) for 1 .. pages() - 1 },
    qr/(^error\|\d+\|\|invalid page in block[^\n]*\n){8}/m ],
  [ 'page zeroed' => sub { substr($bytes, PAGE * page(ELEMENT), PAGE) = "\0" x PAGE }, qr/^warning\|\d+\|\|page was never/m,
    qr/^error\|\d+\|\d+\|link on layer 0 to slot \d+ of block \d+: page was never written/m ],
  [ 'pages cut off' => sub { substr($bytes, PAGE * (pages() - 2)) = '' }, qr/^error\|.*which does not exist/m ],
  [ 'slot state' => sub { put(element(LIVE), 'C', 9) }, qr/^error\|\d+\|\d+\|slot state is 9/ ],
  [ 'level' => sub { put(element(LIVE, 0), 1, 'C', 2) }, qr/^error\|\d+\|\d+\|element of level 2 has no upper/ ],
  [ 'neighbor count' => sub { put(element(LIVE), 2, 'v', 9) }, qr/^error\|\d+\|\d+\|list of 9 entries where 8 fit/ ],
  [ 'free slots' => sub { my $page = page(ELEMENT); put($page, SPECIAL + 2, 'v', get($page, SPECIAL + 2, 'v') + 1) },
    qr/^error\|\d+\|\|\d+ slots are free, not \d+/ ],
  [ 'link to itself' => sub { my @to = element(LIVE); put(neighbor(@to), 'V', id(@to)) }, qr/link to itself on layer 0/ ],
  [ 'link twice' => sub { my @to = element(LIVE); put(neighbor(@to, 1), 'V', get(neighbor(@to), 'V')) },
    qr/^error\|.*two links to slot \d+ of block \d+ on layer 0/ ],
  [ 'link to no block' => sub { put(neighbor(element(LIVE)), 'V', 0xff0000) }, qr/^error\|.*: link to block \d+, which does not/ ],
  [ 'link to the metapage' => sub { put(neighbor(element(LIVE)), 'V', 3) }, qr/^error\|.*: link to block 0, which does not/ ],
  [ 'link to another kind' => sub { put(neighbor(element(LIVE)), 'V', id(page(UPPER), HEADER)) },
    qr/^error\|.*: upper page where element page was expected/ ],
  [ 'link to a free slot' => sub { put(neighbor(element(LIVE)), 'V', id(element(FREE))) }, qr/^warning\|.*link on layer 0.*which is free/ ],
  [ 'upper link to a low element' => sub { put(slot(UPPER, 24, LIVE), 8, 'V', id(element(LIVE, 0))) },
    qr/^error\|.*link on layer \d to .*, an element of level 0/ ],
  [ 'tombstone whose neighbors were freed and taken again' => sub { my @at = element(LIVE, 1); put(@at, 'C', DEAD); put(@at, 6, 'C', 0);
      my ($list) = grep { get(@$_, 4, 'V') == id(@at) } slots(UPPER, 24, LIVE, 1); put(@$list, 8, 'V', id(element(LIVE, 0))) },
    qr/^warning\|.*which is a tombstone/m, qr/\A(?!.*an element of level 0)/s ],
  [ 'tombstone with rows' => sub { put(element(LIVE), 'C', DEAD) }, qr/^error\|\d+\|\d+\|tombstone has rows/,
    qr/^warning\|.*which is a tombstone/m ],
  [ 'no links' => sub { put(@$_, 2, 'v', 0) for slots(ELEMENT, $slot_len, LIVE) }, qr/^warning\|.*no way leads from the entry point/m ],
  [ 'entry point free' => sub { put(0, ENTRY, 'V', id(element(FREE))) }, qr/^error\|0\|\|entry point is .*, which is free/ ],
  [ 'entry point nowhere' => sub { put(0, ENTRY, 'V', 0xff0000) }, qr/^error\|0\|\|entry point is .*which does not exist/ ],
  [ 'entry level' => sub { put(0, ENTRY_LEVEL, 'C', get(0, ENTRY_LEVEL, 'C') + 1) }, qr/^error\|0\|\|entry point has level/ ],
  [ 'entry point too low' => sub { put(0, ENTRY, 'V', id(element(LIVE, 0))); put(0, ENTRY_LEVEL, 'C', 0) },
    qr/^warning\|0\|\|entry point has level 0, another element/m ],
  [ 'no entry point' => sub { put(0, ENTRY, 'V', NONE); put(0, ENTRY_LEVEL, 'C', 0) }, qr/^error\|0\|\|no entry point, but \d+ elements/ ],
  [ 'row beyond the table' => sub { put(element(LIVE), 8, 'v', 1) }, qr/^error\|\d+\|\d+\|row in block \d+ of the table/,
    qr/^error\|\|\|row \(\d+,\d+\) of the table is not in the index/m ],
  [ 'row without number' => sub { put(element(LIVE), 12, 'v', 0) }, qr/^error\|\d+\|\d+\|row \(\d+,0\)/ ],
  [ 'row twice' => sub { my ($one, $other) = slots(ELEMENT, $slot_len, LIVE);
      substr($bytes, at(@$other) + 8, 6) = substr $bytes, at(@$one) + 8, 6 },
    qr/^error\|\d+\|\d+\|row \(\d+,\d+\) is also in slot \d+ of block/ ],
  [ 'row missing' => sub { put(element(LIVE), 6, 'C', 0) }, qr/^error\|\|\|row \(\d+,\d+\) of the table is not in the index/ ],
  [ 'upper lists of another' => sub { put(slot(UPPER, 24, LIVE), 4, 'V', id(element(LIVE, 0))) },
    qr/^error\|\d+\|\d+\|neighbors belong to no element/m, qr/^error\|\d+\|\d+\|neighbors of level \d are another element's/m ],
  [ 'further rows of another' => sub { put(slot(OVERFLOW, 136, LIVE), 8, 'V', id(element(LIVE, 0))) },
    qr/further rows in slot \d+ of block \d+ are another element's/ ],
  [ 'further rows in a ring' => sub { my @to = slot(OVERFLOW, 136, LIVE); put(@to, 4, 'V', $to[0] << 6 | ($to[1] - HEADER) / 136) },
    qr/serials of further rows rise/ ],
  [ 'further rows lost' => sub { put(@$_, 24, 'V', NONE) for slots(ELEMENT, $slot_len, LIVE) },
    qr/^error\|\d+\|\d+\|further rows are in no element's chain/m ],
  [ 'list of free pages in a ring' => sub { my $head = get(0, ELEMENT_FREE, 'V'); put($head, SPECIAL + 4, 'V', $head) },
    qr/^error\|\d+\|\|list of element pages with free slots: pages are linked in a ring/m ],
  [ 'listed page that says it is not' => sub { put(get(0, ELEMENT_FREE, 'V'), SPECIAL + 1, 'C', 0) },
    qr/^error\|0\|\|list of element pages with free slots: block \d+ says it is not listed/m ],
  [ 'page with freed slots that is not listed' => sub { my ($page) = element(FREE); put($page, SPECIAL + 1, 'C', 0) },
    qr/^warning\|\d+\|\|page with free slots is in no list of such pages/m ],
  [ 'list of free pages without a head' => sub { put(0, ELEMENT_FREE, 'V', NONE) },
    qr/^warning\|\d+\|\|page says that it is in a list of pages with free slots, and is not/m ],
  [ 'list of free pages of another kind' => sub { put(0, ELEMENT_FREE, 'V', page(OVERFLOW)) },
    qr/^error\|0\|\|list of element pages with free slots: block \d+: overflow page where element page was expected/m ],
  [ 'center' => sub { put(page(CENTER_PAGE), HEADER, 'V', 0x7fc00000) }, qr/^error\|\d+\|\|center is not finite/m ],
  [ 'center elsewhere' => sub { put(0, CENTER, 'V', page(ELEMENT)) }, qr/^error\|\d+\|\|center: element page where center page/m ],
  [ 'free entries' => sub { my $page = page(FILTER); put($page, SPECIAL + 2, 'v', get($page, SPECIAL + 2, 'v') - 1) },
    qr/^error\|\d+\|\|\d+ free slots on a page with \d+ slots/ ],
  [ 'key of another row' => sub { my $page = page(FILTER); put($page, IMAGES + 20, 'V', get($page, IMAGES + 24, 'V')) },
    qr/^error\|\|\|row \(\d+,\d+\) of the table has other keys in the filter pages of the index\z/ ],
  [ 'key out of bounds' => sub { put(page(FILTER), IMAGES + 20, 'V', 0) }, qr/^error\|\d+\|\|.*5/ ],
  [ 'entry of another element' => sub { my $page = page(FILTER); put($page, ELEMENTS + 20, 'V', get($page, ELEMENTS + 24, 'V')) },
    qr/^error\|\d+\|5\|row \(\d+,\d+\) is in slot \d+ of block \d+, not in slot \d+ of block \d+\z/ ],
  [ 'entry of no element' => sub { put(page(FILTER), ELEMENTS + 20, 'V', 0xff0000) },
    qr/^error\|\d+\|5\|element of row \(\d+,\d+\): link to block \d+, which does not exist/ ],
  [ 'entry of another row' => sub { my $page = page(FILTER); put($page, TIDS + 30 + 2 * $_, 'v', get($page, TIDS + 36 + 2 * $_, 'v')) for 0 .. 2 },
    qr/^error\|\d+\|6\|row \(\d+,\d+\) is also in entry 5 of block \d+/, qr/^error\|\|\|row \(\d+,\d+\) of the table is not in the filter pages/m,
    qr/^warning\|\|\|row \(\d+,\d+\) has no entry/m ],
  [ 'mark of an entry' => sub { put(page(FILTER), USED + 5, 'C', 7) }, qr/^error\|\d+\|\|slot state is 7/ ],
  [ 'filter pages in a ring' => sub { put(page(FILTER), HEADER, 'V', page(FILTER)) }, qr/^error\|\d+\|\|filter pages are linked in a ring/ ],
  [ 'filter pages without a head' => sub { put(0, FILTER_FIRST, 'V', NONE) }, qr/^error\|\d+\|\|page is not in the chain of filter pages/ ],
  [ 'filter page elsewhere' => sub { put(0, FILTER_FIRST, 'V', page(ELEMENT)) },
    qr/^error\|0\|\|chain of filter pages: element page where filter page/ ],
  [ 'bounds of a filter page' => sub { put(page(FILTER), BOUNDS, 'Q', 0xfffffff0) }, qr/^error\|\d+\|\|entry \d+ lies outside the bounds of its filter page/ ],
  [ 'NULL in a page without' => sub { put(page(FILTER), NULL_BITS + 5, 'C', 1) }, qr/^error\|\d+\|\|entry 5 lies outside the bounds of its filter page/ ],
  [ 'reserved bytes of a filter page' => sub { put(page(FILTER), NULLS + 1, 'C', 1) }, qr/^error\|\d+\|\|reserved/ ],
  [ 'next filter page nowhere' => sub { put(page(FILTER), NEXT, 'V', 0xff0000) },
    qr/^error\|\d+\|\|chain of filter pages: link to block \d+, which does not exist/ ],
  [ 'next filter page of another kind' => sub { put(page(FILTER), NEXT, 'V', page(UPPER)) },
    qr/^error\|\d+\|\|chain of filter pages: upper page where filter page/ ],
  [ 'filter page zeroed' => sub { substr($bytes, PAGE * page(FILTER), PAGE) = "\0" x PAGE }, qr/^warning\|\d+\|\|page was never/m,
    qr/^error\|0\|\|chain of filter pages: page was never written/m ],
  [ 'filter page of another kind' => sub { put(page(FILTER), SPECIAL, 'C', OVERFLOW) }, qr/^error\|0\|\|chain of filter pages: overflow page/m ],
  [ 'list of filter pages of another kind' => sub { put(0, FILTER_FREE, 'V', page(ELEMENT)) },
    qr/^error\|0\|\|list of filter pages with free slots: block \d+: element page where filter page was expected/m ],
  [ 'widths of keys' => sub { put(0, KEY_WIDTHS + 1, 'C', 3) }, qr/^error\|0\|\|widths of key columns are \[1, 3/ ],
  [ 'widths of other keys' => sub { put(0, KEY_WIDTHS + 1, 'C', 8) }, qr/^error\|0\|\|metapage is that of another index/ ],
  [ 'no keys' => sub { put(0, KEY_WIDTHS, 'Q', 0) }, qr/^error\|0\|\|./ ],
  [ 'graphs of a column' => sub { put(0, GROUPED_BY, 'Q', 1) }, qr/^error\|0\|\|./ ],
  [ 'code of no center' => sub { put(element(LIVE), 7, 'C', 2) }, qr/^error\|\d+\|\d+\|code names center 2 of 1/m ],
  [ 'learned center nowhere' => sub { put(0, HEADER + 4, 'V', 5); put(0, LEARNED, 'V', 0xff0000) },
    qr/^error\|0\|\|center: link to block \d+, which does not exist/m ],
  [ 'learned centers in a ring' => sub { put(0, HEADER + 4, 'V', 5); put(0, LEARNED, 'V', page(CENTER_PAGE)) },
    qr/^error\|\d+\|\|center pages are linked in a ring/m ],
  [ 'learned center in an old layout' => sub { put(0, LEARNED, 'V', page(CENTER_PAGE)) }, qr/^error\|0\|\|reserved/ ],
  [ 'center gone' => sub { put(0, CENTER, 'V', NONE) }, qr/^error\|\d+\|\|page is no part of a center/m ],
);

# Damages of an index that has a graph for each of three values.
my @of_groups = (
  [ 'graphs of no column' => sub { put(0, GROUPED_BY, 'Q', 2) }, qr/^error\|0\|\|./ ],
  [ 'mark of NULL of a group' => sub { put(group(element(LIVE)), 10, 'C', 7) }, qr/^error\|\d+\|\d+\|mark of NULL is 7/ ],
  [ 'reserved byte of a group' => sub { put(group(element(LIVE)), 11, 'C', 7) }, qr/^error\|\d+\|\d+\|reserved/ ],
  [ 'neighbor count of a group' => sub { put(group(element(LIVE)), 8, 'v', 9) }, qr/^error\|\d+\|\d+\|list of 9 entries where 4 fit/ ],
  [ 'group of another value' => sub { my @to = group(element(LIVE)); put(@to, 'C', 1 + get(@to, 'C')) },
    qr/^error\|\d+\|\d+\|link in its group to slot \d+ of block \d+, an element of another group/m, qr/^error\|\d+\|\d+\|row \(\d+,\d+\) has another value than its element in the column with graphs/m ],
  [ 'key of another value' => sub { my $page = page(FILTER); put($page, IMAGES + 20, 'V', get($page, IMAGES + 24, 'V')) },
    qr/^error\|\d+\|\d+\|row \(\d+,\d+\) has another value than its element in the column with graphs/m, qr/^error\|\|\|row \(\d+,\d+\) of the table has other keys/m ],
  [ 'link to itself in a group' => sub { my @to = element(LIVE); put(group_neighbor(@to), 'V', id(@to)) }, qr/^error\|\d+\|\d+\|link to itself in its group/ ],
  [ 'link twice in a group' => sub { my @to = element(LIVE); put(group_neighbor(@to, 1), 'V', get(group_neighbor(@to), 'V')) },
    qr/^error\|\d+\|\d+\|two links to slot \d+ of block \d+ in its group/ ],
  [ 'link to no block in a group' => sub { put(group_neighbor(element(LIVE)), 'V', 0xff0000) },
    qr/^error\|\d+\|\d+\|link in its group to slot \d+ of block \d+: link to block \d+, which does not/ ],
  [ 'link to another kind in a group' => sub { put(group_neighbor(element(LIVE)), 'V', id(page(UPPER), HEADER)) },
    qr/^error\|\d+\|\d+\|link in its group to .*: upper page where element page was expected/ ],
  [ 'link to another group' => sub { my @to = element(LIVE); my ($other) = grep { get(group(@$_), 'V') != get(group(@to), 'V') } slots(ELEMENT, $slot_len, LIVE);
      put(group_neighbor(@to), 'V', id(@$other)) }, qr/^error\|\d+\|\d+\|link in its group to slot \d+ of block \d+, an element of another group/ ],
  [ 'link to a free slot in a group' => sub { put(group_neighbor(element(LIVE)), 'V', id(element(FREE))) }, qr/^warning\|\d+\|\d+\|link in its group.*which is free/ ],
  [ 'no links in a group' => sub { put(group(element(LIVE)), 8, 'v', 0) }, qr/^warning\|\d+\|\d+\|element has no neighbors in its group, which has others/ ],
);

# Damages of an index large enough to have neighbors on average.
my @of_many = ([ 'few links' => sub { put(@$_, 2, 'v', 1) for slots(ELEMENT, $slot_len, LIVE) },
  qr/^warning\|\|\|elements have 1\.0 neighbors on average, fewer than half of m = 4$/m ]);

# Small indexes with everything in them: a center, upper levels, rows in slots of their own, slots freed by vacuum. Empty tables
# come first, to be given the files of an original: older than its rows, as Postgres checks.
my %definitions = (
  original => 'USING hnsw (embedding vector_l2_ops, id) WITH (m = 4, ef_construction = 32)',
  grouped => 'USING hnsw (embedding vector_l2_ops, (id % 3)) WITH (m = 4, ef_construction = 32, graphs = expr)',
  many => 'USING hnsw (embedding vector_l2_ops) WITH (m = 4, ef_construction = 32)');
my %rows = (original => 400, grouped => 400, many => 1400);
my @copies = ((map { [ original => @$_ ] } @damages), (map { [ grouped => @$_ ] } @of_groups), map { [ many => @$_ ] } @of_many);
sql('CREATE EXTENSION omendb; CREATE TABLE original (id int, embedding vector(40)); CREATE TABLE grouped (LIKE original); CREATE TABLE many (LIKE original)');
sql(join '', map { "CREATE TABLE copy_$_ (LIKE original); CREATE INDEX index_$_ ON copy_$_ $definitions{$copies[$_][0]};" } 0 .. $#copies);
sql(<<"SQL");
CREATE FUNCTION sample(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
  'SELECT array_agg(hashint4(i * 40 + j) % 100)::vector FROM generate_series(1, 40) j';
SQL
for my $name (sort keys %definitions) {
  sql(<<"SQL");
INSERT INTO $name SELECT i, sample(i) FROM generate_series(1, $rows{$name}) i;
INSERT INTO $name SELECT $rows{$name} + i, sample(7) FROM generate_series(1, 100) i;
CREATE INDEX ${name}_index ON $name $definitions{$name};
SQL
  is(sql("SELECT * FROM hnsw_check('${name}_index', true)"), '', "$name: a new index has no findings");
  sql(<<"SQL");
DELETE FROM $name WHERE id % 10 = 3;
VACUUM $name;
INSERT INTO $name SELECT 2000 + i, sample(2000 + i) FROM generate_series(1, 20) i;
SQL
  is(sql("SELECT * FROM hnsw_check('${name}_index', true) WHERE finding !~ 'no way leads .* on layer [1-9]'"), '',
    "$name: nor has one that took inserts and a vacuum, but for elements that layers above the lowest have lost sight of");
}

my %path_of = map { split /\|/ } split /\n/,
  sql(q(SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^(original|grouped|many|copy|index)_?'));
$node->stop;
my %file = map { $_ => slurp_file($node->data_dir . "/$path_of{$_}") } map { ($_, "${_}_index") } keys %definitions;
for my $copy (0 .. $#copies) {
  my ($name, $what, $damage) = @{ $copies[$copy] };
  $bytes = $file{"${name}_index"};
  ($slot_len, $code_len) = (get(0, SLOT_LEN, 'V'), get(0, CODE_LEN, 'V'));
  $damage->();
  isnt($bytes, $file{"${name}_index"}, "$what: done");
  write_file("copy_$copy", $file{$name});
  write_file("index_$copy", $bytes);
}
$node->start;

# Page by page: damage of an element page is no reason to pass over its rows in silence.
my %copy_of = map { $copies[$_][1] => $_ } 0 .. $#copies;
for my $what ('page id', 'page version', 'page kind', 'slot state') {
  my $copy = $copy_of{$what};
  for my $call ("hnsw_recall('index_$copy')", "hnsw_calibrate('index_$copy')") {
    my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
    like($error, qr/XX002: index "index_$copy" is corrupt at block \d+: ./, "$what: $call");
  }
}

for my $copy (0 .. $#copies) {
  my (undef, $what, undef, @expected) = @{ $copies[$copy] };
  my ($status, $found, $error) = $node->psql('postgres', "SELECT * FROM hnsw_check('index_$copy', true)");
  is("$status $error", '0 ', "$what: the check ends well");
  like($found, $_, "$what: found") for @expected;
  # An error where there is one to raise.
  ($status, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT FROM hnsw_check('index_$copy', true, raise => true)");
  if ($found =~ /^error/m) {
    like($error, qr/XX002: index "index_$copy" is corrupt(?: at block \d+)?: ./, "$what: raised");
  } else {
    is($error, '', "$what: nothing to raise");
  }
}

$node->stop;
done_testing();

sub pages { return length($bytes) / PAGE }
sub get { my ($page, $at, $format) = @_ == 4 ? ($_[0], $_[1] + $_[2], $_[3]) : @_; return unpack $format, substr $bytes, PAGE * $page + $at, 8 }

# put(page, offset, [offset in that,] format, value)
sub put {
  my ($value, $format) = (pop, pop);
  my $packed = pack $format, $value;
  substr($bytes, at(@_), length $packed) = $packed;
}

sub at { my ($page, @offsets) = @_; my $at = PAGE * $page; $at += $_ for @offsets; return $at }

# The second page of a kind, or the first: page(kind)
sub page {
  my ($kind) = @_;
  my @found = grep { get($_, SPECIAL, 'C') == $kind } 1 .. pages() - 1;
  die "no page of kind $kind" unless @found;
  return $found[ @found > 1 ];
}

# All slots of a kind in a state, and of a level: [page, offset], ...
sub slots {
  my ($kind, $length, $state, $level) = @_;
  my @found;
  for my $page (1 .. pages() - 1) {
    next unless get($page, SPECIAL, 'C') == $kind;
    for (my $at = HEADER; $at + $length <= get($page, 12, 'v'); $at += $length) {
      next unless get($page, $at, 'C') == $state;
      push @found, [ $page, $at ] if !defined $level or get($page, $at, 1, 'C') == $level;
    }
  }
  die "no slot of kind $kind, state $state" unless @found;
  return @found;
}

sub slot { return @{ (slots(@_))[0] } }
sub element { return slot(ELEMENT, $slot_len, @_) }

# The offset of a neighbor of an element: neighbor(page, offset, [number])
sub neighbor {
  my ($page, $at, $number) = @_;
  return ($page, $at + 28 + $code_len + 4 * ($number // 0));
}

# Where the group of an element is, and a neighbor in it: group(page, offset), group_neighbor(page, offset, [number])
sub group {
  my ($page, $at) = @_;
  return ($page, $at + $slot_len - 12 - 4 * 4);
}

sub group_neighbor {
  my ($page, $at) = group(@_);
  return ($page, $at + 12 + 4 * ($_[2] // 0));
}

sub id { return Slots::id($slot_len, @_) }

sub write_file {
  my ($name, $contents) = @_;
  open my $file, '>:raw', $node->data_dir . "/$path_of{$name}" or die $!;
  print $file $contents;
  close $file or die $!;
}
