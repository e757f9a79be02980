# Makes the fixture of a release, for ./dev fixture: writes it to the folder $OMENDB_FIXTURE.
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
cmp_ok(Released::save($node, $ENV{OMENDB_FIXTURE}), '>', 0, 'indexes are kept');
$node->stop;
done_testing();
