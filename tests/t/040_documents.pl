# The SQL of README.md and docs/*.md works: the blocks of a document run in order in an empty database, and a block
# ```output shows what the block before it prints. Blocks that cannot run in a test are marked ```sql skip.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('documents');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off");
$node->start;

my $root = "$ENV{OMENDB_SQL}/..";
my @documents = ("$root/README.md", sort glob "$root/docs/*.md");
cmp_ok(scalar @documents, '>=', 9, 'there are documents');
for my $path (@documents) {
  my ($name) = $path =~ m{([^/]+)\.md$};
  my @blocks = blocks_of($path);
  next unless @blocks;
  $node->safe_psql('postgres', "CREATE DATABASE \"$name\"");
  check_document($name, @blocks);
}

# The fenced blocks to run: line, SQL, and the output shown, if any.
sub blocks_of {
  my ($path) = @_;
  my (@blocks, $info, $text, $line);
  for (split /^/, slurp_file($path)) {
    $line++;
    if (!defined $info && /^\s*```(.*?)\s*$/) {
      ($info, $text) = ($1, '');
      push @blocks, { line => $line } if $info eq 'sql';
    } elsif (defined $info && /^\s*```\s*$/) {
      $blocks[-1]{sql} = $text if $info eq 'sql';
      $blocks[-1]{output} = $text if $info eq 'output';
      undef $info;
    } elsif (defined $info) {
      $text .= $_;
    }
  }
  return @blocks;
}

# One session for the whole document: settings last from block to block, as they do for a reader.
sub check_document {
  my ($name, @blocks) = @_;
  my $script = join '', map { "\\echo block $_->{line}\n$_->{sql}\n" } @blocks;
  my ($out, $err) = ('', '');
  my $file = "$PostgreSQL::Test::Utils::tmp_check/$name.sql";
  append_to_file($file, $script);
  my $result = IPC::Run::run(
    [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($name), '-f', $file ],
    '>', \$out, '2>', \$err);
  ok($result, "$name: every block runs") or diag($err);
  my %printed = $out =~ /^block (\d+)\n(.*?)(?=^block \d+\n|\z)/msg;
  for my $block (grep { defined $_->{output} } @blocks) {
    is(tidy($printed{ $block->{line} } // ''), tidy($block->{output}), "$name: line $block->{line} prints what is shown");
  }
}

sub tidy {
  my ($text) = @_;
  $text =~ s/[ \t]+$//mg;
  $text =~ s/\s+\z//;
  return $text;
}

$node->stop;
done_testing();
