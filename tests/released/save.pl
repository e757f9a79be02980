# Makes the indexes of a release, for ./dev freeze: writes their bytes to the folder $OMENDB_FROZEN.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use Released;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('fixture');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
Released::make($node, "$ENV{OMENDB_SQL}/../tests/released/make.sql");
cmp_ok(Released::save($node, $ENV{OMENDB_FROZEN}), '>', 0, 'indexes are kept');
$node->stop;
done_testing();
