# Graphs of values that have fallen apart: hnsw_check reports them, and a vacuum links them again, whatever the cause and however little
# memory it has. Links are taken out of the file.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Slots;
use Test::More;

use constant { PAGE => 8192, HEADER => 24, SPECIAL => 8176, ELEMENT => 2, LIVE => 1, M => 8 };

my $node = PostgreSQL::Test::Cluster->new('graphs');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nignore_checksum_failure = on");
$node->start;

sub sql { return $node->safe_psql('postgres', @_); }

# Tenants 1 to 4 have 700 rows each, tenants from 100 on one row each.
sql(<<'SQL');
CREATE EXTENSION omendb;
CREATE TABLE item (id int PRIMARY KEY, embedding vector(3), tenant int);
INSERT INTO item SELECT i, ARRAY[i / 60, i * 7919 % 1009, i * 104729 % 997]::vector, CASE WHEN i <= 2800 THEN 1 + i % 4 ELSE i END
  FROM generate_series(1, 6000) i;
CREATE INDEX item_embedding ON item USING hnsw (embedding vector_l2_ops, tenant) WITH (graphs = tenant, m = 8, ef_construction = 32);

-- Rows that are not the nearest of their tenant to their own vector.
CREATE FUNCTION lost(of int) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off SET hnsw.ef_search = 1000
  SET hnsw.iterative_scan = off AS $$
DECLARE
  row item; found int; lost bigint := 0;
BEGIN
  FOR row IN SELECT * FROM item WHERE tenant = of LOOP
    EXECUTE format('SELECT id FROM item WHERE tenant = %s ORDER BY embedding <-> %L LIMIT 1', of, row.embedding) INTO found;
    lost := lost + (found IS DISTINCT FROM row.id)::int;
  END LOOP;
  RETURN lost;
END $$;
SQL
my $check = q(SELECT severity || ': ' || regexp_replace(finding, '\d+', 'N', 'g') || ' x ' || count(*)
  FROM hnsw_check('item_embedding', true) GROUP BY severity, regexp_replace(finding, '\d+', 'N', 'g') ORDER BY 1);
my $lost = q(SELECT string_agg(lost(tenant)::text, ' ') FROM generate_series(1, 4) tenant);
is(sql($check), '', 'a new index has no findings');
is(sql($lost), '0 0 0 0', 'and finds all rows');

my $file = $node->data_dir . '/' . sql(q(SELECT pg_relation_filepath('item_embedding')));
my ($bytes, $slot_len, @of);

# Reads the file, and the elements of each tenant in the order of pages.
sub load {
  $node->stop;
  $bytes = slurp_file($file);
  $slot_len = unpack 'V', substr $bytes, HEADER + 24, 4;
  @of = ();
  for my $page (1 .. length($bytes) / PAGE - 1) {
    next unless unpack('C', substr $bytes, PAGE * $page + SPECIAL, 1) == ELEMENT;
    my $end = unpack 'v', substr $bytes, PAGE * $page + 12, 2;
    for (my $at = HEADER; $at + $slot_len <= $end; $at += $slot_len) {
      next unless unpack('C', substr $bytes, PAGE * $page + $at, 1) == LIVE;
      my $group = PAGE * $page + $at + $slot_len - 12 - 4 * M;
      my $tenant = unpack('V', substr $bytes, $group, 4) & 0x7fffffff;
      push @{ $of[$tenant] }, { group => $group, id => Slots::id($slot_len, $page, $at) };
    }
  }
}

sub store {
  open my $to, '>:raw', $file or die $!;
  print $to $bytes;
  close $to or die $!;
  $node->start;
}

# An element's neighbors in its group, read or written.
sub neighbors {
  my ($element, @new) = @_;
  my $at = $element->{group};
  my @old = unpack 'V*', substr $bytes, $at + 12, 4 * unpack('v', substr $bytes, $at + 8, 2);
  if (@_ > 1) {
    @new = () if !defined $new[0];
    substr($bytes, $at + 8, 2) = pack 'v', scalar @new;
    substr($bytes, $at + 12, 4 * @new) = pack 'V*', @new;
  }
  return @old;
}

# Takes the links between some of a tenant's elements and the others out.
sub part {
  my ($tenant, @numbers) = @_;
  my %apart = map { $of[$tenant][$_]{id} => 1 } @numbers;
  for my $element (@{ $of[$tenant] }) {
    my $is_apart = $apart{ $element->{id} } // 0;
    my @kept = grep { ($apart{$_} // 0) == $is_apart } neighbors($element);
    neighbors($element, @kept ? @kept : undef);
  }
}

# All links of one tenant; the first two of another, which have each other, and the third, alone; a list of the next; every second element.
sub take_apart {
  load();
  cmp_ok(scalar @{ $of[$_] // [] }, '>=', 600, "elements of tenant $_") for 1 .. 4;
  neighbors($_, undef) for @{ $of[1] };
  part(2, 0, 1);
  neighbors($of[2][0], $of[2][1]{id});
  neighbors($of[2][1], $of[2][0]{id});
  part(3, 0);
  part(3, 5);
  part(4, grep { $_ % 2 } 0 .. $#{ $of[4] });
  store();
}

take_apart();
like(sql($check), qr/^warning: element has no neighbors in its group, which has others x \d+\z/, 'lists without neighbors are found');
cmp_ok(sql('SELECT lost(1)'), '>', 500, 'and rows are missed');
sql("DELETE FROM item WHERE id = 6000; VACUUM (INDEX_CLEANUP on) item");
is(sql($check), '', 'a vacuum leaves no findings');
is(sql($lost), '0 0 0 0', 'and no lost rows');

take_apart();
sql("SET maintenance_work_mem = '1MB'; DELETE FROM item WHERE id BETWEEN 5800 AND 5999; VACUUM (INDEX_CLEANUP on) item");
is(sql($check), '', 'a vacuum with little memory leaves no findings');
is(sql($lost), '0 0 0 0', 'and no lost rows');

take_apart();
sql("DELETE FROM item WHERE tenant = 4 OR id % 3 = 0; VACUUM (INDEX_CLEANUP on) item");
is(sql($check), '', 'nor does one that removes a tenant and a third of the others leave findings');
is(sql($lost), '0 0 0 0', 'and no lost rows');

# Links to elements of other tenants.
load();
my (undef, @others) = neighbors($of[1][7]);
neighbors($of[1][7], @others, $of[2][9]{id});
store();
is(sql($check), 'error: link in its group to slot N of block N, an element of another group x 1', 'a link to another group is damage');

# The first rows of a value, by several sessions at once.
sql('CREATE TABLE fresh (embedding vector(500), tenant int); CREATE SEQUENCE tenants;
  CREATE INDEX fresh_embedding ON fresh USING hnsw (embedding vector_l2_ops, tenant) WITH (graphs = tenant, m = 8)');
$node->pgbench('--no-vacuum --client=4 --jobs=2 --transactions=500', 0, [qr/2000\/2000/], [qr/^$/], 'rows of new values',
  { fresh => q(INSERT INTO fresh SELECT (SELECT array_agg(random())::vector FROM generate_series(1, 500)), nextval('tenants') / 2;) });
is(sql(q(SELECT * FROM hnsw_check('fresh_embedding', true))), '', 'are linked to each other');

# A row whose value has one other row, anywhere among more pages of keys than an insert reads for several rows to start at.
sql(<<'SQL');
CREATE TABLE broad (embedding vector(2), tenant int8, a int8, b int8, c int8, d int8, e int8, f int8);
INSERT INTO broad SELECT ARRAY[i % 397, i / 397]::vector, CASE WHEN i % 2999 = 0 THEN i ELSE -1 END, i, i, i, i, i, i FROM generate_series(1, 150000) i;
CREATE INDEX broad_embedding ON broad USING hnsw (embedding vector_l2_ops, tenant, a, b, c, d, e, f) WITH (graphs = tenant, m = 4, ef_construction = 16);
INSERT INTO broad SELECT '[-1,-1]', tenant FROM broad WHERE tenant > 0;
SQL
cmp_ok(sql(q(SELECT filter_bytes / 8192 FROM hnsw_index_info('broad_embedding'))), '>', 1200, 'many pages of keys');
is(sql(q(SELECT * FROM hnsw_check('broad_embedding', true))), '', 'each new row is linked to that of its value');

$node->stop;
done_testing();
