# The extension as files: it creates in a fresh server, at the version that the control file names, and drops.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('install');
$node->init;
$node->start;

$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
my ($installed, $offered) = split /\|/, $node->safe_psql('postgres', <<'SQL');
SELECT e.extversion, a.default_version
  FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
  WHERE e.extname = 'omendb'
SQL
is($installed, $offered, 'omendb is created at its default version');

$node->safe_psql('postgres', 'CREATE SCHEMA elsewhere; ALTER EXTENSION omendb SET SCHEMA elsewhere');
is( $node->safe_psql('postgres', <<'SQL'), 'elsewhere', 'omendb moves to another schema');
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'omendb'
SQL

$node->safe_psql('postgres', 'DROP EXTENSION omendb');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_extension WHERE extname = 'omendb'"),
  '0', 'omendb drops without a trace');

$node->stop;
done_testing();
