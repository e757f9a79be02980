# pgbouncer in transaction mode, where it is installed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my ($program) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
plan skip_all => 'pgbouncer is not installed' unless $program;

my $node = Wordnet::node('pooled');
Wordnet::index($node, 'vector_l2_ops');
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $folder = PostgreSQL::Test::Utils::tempdir_short();
append_to_file("$folder/pgbouncer.ini", <<"INI");
[databases]
postgres = host=@{[ $node->host ]} port=@{[ $node->port ]} dbname=postgres user=@{[ scalar getpwuid($<) ]}
[pgbouncer]
listen_port = $port
unix_socket_dir = $folder
auth_type = any
pool_mode = transaction
default_pool_size = 1
logfile = $folder/log
pidfile = $folder/pid
INI
my $pooler = IPC::Run::start([ $program, "$folder/pgbouncer.ini" ], '<', \undef, '>', \my $words, '2>&1');
Wordnet::wait_until(sub { -S "$folder/.s.PGSQL.$port" or $pooler->pumpable ? 0 : die "pgbouncer ended: $words" }, 'pgbouncer to listen');

END { $pooler->kill_kill if $pooler }

# Statements of a client of its own, through the pooler, all of whose clients share one connection of the server.
sub client {
  my (@statements) = @_;
  my ($output, $error) = ('', '');
  IPC::Run::run([ 'psql', '-XAtq', '-d', "host=$folder port=$port dbname=postgres user=" . getpwuid($<), map { ('-c', $_) } @statements ],
    '>', \$output, '2>', \$error);
  chomp $output;
  return $error || $output;
}

my $own = 'SELECT id FROM wordnet ORDER BY embedding <-> (SELECT embedding FROM wordnet WHERE id = 7) LIMIT 1';
is(client($own), 7, 'a search through the pooler');
is(client('BEGIN', 'SET LOCAL hnsw.ef_search = 77', 'SHOW hnsw.ef_search', 'COMMIT'), 77, 'SET LOCAL holds in its transaction');
is(client('SHOW hnsw.ef_search'), 40, 'and no longer');
is(client('SET hnsw.ef_search = 78'), '', 'a SET');
is(client('SHOW hnsw.ef_search'), 78, 'is seen by the next client of the connection');
is(client('RESET hnsw.ef_search'), '', 'until somebody resets it');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET hnsw.ef_search = 55');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
client('SELECT 1');
is(client('SHOW hnsw.ef_search'), 55, 'ALTER DATABASE ... SET holds for every connection');
is(client('SET omendb.target_recall = 0.9', $own), 7, 'a setting before the first use of a connection is kept');
is(client('SHOW omendb.target_recall'), '0.9', 'with its value');
{
  local $ENV{PGOPTIONS} = '-c hnsw.ef_search=50';
  like(client($own), qr/unsupported startup parameter(: options)?/, 'PGOPTIONS is refused by pgbouncer');
}
$pooler->kill_kill;

done_testing();
