# A PostgreSQL of a test's own, in which the alias extension `vector` can be installed: links to the files of the one under
# test, but for its programs, which find their other files relative to themselves.
#
#   use Alias;
#   my $server = Alias->new('alias');                   # omendb is in it, and pgvector if it is beside it
#   my ($ok, $words) = $server->install('--force');     # ./dev install --as-pgvector, without the build
#   my $node = $server->node('alias');                  # a started node of it
#   $server->install_next($script);                     # a next version of omendb, whose update script this is
package Alias;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

sub new {
  my ($class, $name) = @_;
  my $folder = PostgreSQL::Test::Utils::tempdir($name);
  my ($bin, $base) = (asked('bindir'));
  # The folder above both the programs and the extensions. A wheel has libraries beside it.
  for ($base = $bin; index(asked('sharedir'), "$base/") != 0; $base = dirname($base)) { }
  my $copy = $folder . '/wheel/' . ($base =~ m{([^/]+)$})[0];
  make_path(dirname($copy));
  PostgreSQL::Test::Utils::system_or_bail('cp', '-as', $base, $copy);
  PostgreSQL::Test::Utils::system_or_bail('ln', '-s', $_, $folder) for glob(dirname(dirname($base)) . '/*.libs');
  my $own_bin = $copy . substr($bin, length $base);
  PostgreSQL::Test::Utils::system_or_bail('cp', '-aL', '--remove-destination', glob("$bin/*"), $own_bin);
  return bless { bin => $own_bin, folder => $folder }, $class;
}

sub asked {
  my ($what, $bin) = @_;
  my $program = defined $bin ? "$bin/pg_config" : 'pg_config';
  chomp(my $answer = `$program --$what`);
  return abs_path($answer);
}

sub libraries { return asked('pkglibdir', $_[0]->{bin}) }

sub extensions { return asked('sharedir', $_[0]->{bin}) . '/extension' }

# True if pgvector is in the PostgreSQL under test.
sub has_pgvector {
  my $control = asked('sharedir') . '/extension/vector.control';
  return -e $control && PostgreSQL::Test::Utils::slurp_file($control) !~ /omendb/;
}

# Takes away whatever is there by the name of vector.
sub clear {
  my ($self) = @_;
  unlink glob($self->extensions . '/vector*'), $self->libraries . '/vector.so';
  return;
}

# Puts pgvector's own files back.
sub restore {
  my ($self) = @_;
  $self->clear;
  for (['sharedir', '/extension', $self->extensions], ['pkglibdir', '', $self->libraries]) {
    my ($from, $below, $to) = @$_;
    PostgreSQL::Test::Utils::system_or_bail('ln', '-s', $_, $to) for glob(asked($from) . "$below/vector*");
  }
  return;
}

# The alias's version, as its control file names it.
sub version {
  my ($self) = @_;
  return PostgreSQL::Test::Utils::slurp_file($self->extensions . '/vector.control') =~ /^default_version = '(.*)'$/m ? $1 : undef;
}

sub install {
  my ($self, @options) = @_;
  return $self->install_from(stage(), '', @options);
}

sub install_next {
  my ($self, $script) = @_;
  my $sources = "$self->{folder}/next";
  make_path($sources);
  PostgreSQL::Test::Utils::system_or_bail('cp', '-R', map({ stage() . "/$_" } 'dev.d', 'sql', 'omendb.control'), $sources);
  my ($control) = map { PostgreSQL::Test::Utils::slurp_file($_) } "$sources/omendb.control";
  my ($version) = $control =~ /^default_version = '(.*)'$/m or die 'the control file has no version';
  spew("$sources/omendb.control", $control =~ s/^default_version = \K.*$/'9.0.0'/mr);
  spew("$sources/sql/omendb--$version--9.0.0.sql", $script);
  PostgreSQL::Test::Utils::append_to_file("$sources/sql/omendb.sql", $script);
  return $self->install_from($sources, 'alias_of[9.0.0]=0.8.98');
}

sub spew {
  my ($name, $contents) = @_;
  open my $file, '>', $name or die "$name: $!";
  print $file $contents;
  close $file or die $!;
  return;
}

sub stage { return abs_path("$ENV{OMENDB_DEMO}/..") }

# Runs install without its build in a folder of sources, after further commands.
sub install_from {
  my ($self, $sources, $commands, @options) = @_;
  my $script = <<"SH" . <<'SH';
set -euo pipefail
for part in dev.d/*.sh; do source "\$part"; done
$commands
SH
pg_config=$1 target=$2 as_pgvector='' force=''
install_read_options "${@:3}"
alias_write
alias_check
alias_copy
SH
  my $words = '';
  my $ok = IPC::Run::run(
    [ 'bash', '-c', "cd '$sources'; $script", 'install', "$self->{bin}/pg_config", "$self->{folder}/target", '--as-pgvector', @options ],
    '>&', \$words);
  return ($ok, $words);
}

sub node {
  my ($self, $name) = @_;
  my $node = PostgreSQL::Test::Cluster->new($name, install_path => dirname($self->{bin}));
  $node->init;
  $node->append_conf('postgresql.conf', "autovacuum = off\njit = off\n");
  $node->start;
  return $node;
}

# Moves a database from one node to another as pg_dump writes it, and says what psql complains of.
sub move {
  my ($from, $database, $to, $into, $edit) = @_;
  my ($dump, $words) = ('', '');
  IPC::Run::run([ 'pg_dump', '-d', $from->connstr($database) ], '>', \$dump) or die 'pg_dump failed';
  $dump = $edit->($dump) if $edit;
  $to->safe_psql('postgres', "CREATE DATABASE $into");
  $to->psql($into, $dump, stderr => \$words, on_error_stop => 0);
  return $words;
}

1;
