# Indexes as a release left them: the bytes of their files, beside the SQL that made them (tests/released/VERSION).
#
#   Released::make($node, $sql);              # the table and its indexes, by this library
#   Released::save($node, $folder);           # keeps the bytes of the indexes
#   Released::restore($node, $folder);        # puts them in place of this library's; a third argument may change the bytes
package Released;

use strict;
use warnings;
use IO::Compress::Gzip qw(gzip $GzipError);
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use PostgreSQL::Test::Utils;

my $page_size = 8192;

sub make {
  my ($node, $file) = @_;
  $node->safe_psql('postgres', 'CREATE EXTENSION omendb');
  $node->safe_psql('postgres', slurp_file($file));
}

# The folders of all releases.
sub folders { return map { s,/make.sql$,,r } sort glob "$ENV{OMENDB_SQL}/../tests/released/*/make.sql"; }

# The names of the indexes, and their files.
sub files {
  my ($node) = @_;
  my $rows = $node->safe_psql('postgres', <<'SQL');
SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^fixture_' AND relkind = 'i' ORDER BY relname
SQL
  return map { my ($name, $path) = split /\|/; $name => $node->data_dir . "/$path" } split /\n/, $rows;
}

# An LSN and a checksum are of one server: pages are kept without.
sub save {
  my ($node, $folder) = @_;
  $node->safe_psql('postgres', 'CHECKPOINT');
  my %files = files($node);
  for my $name (sort keys %files) {
    my $bytes = slurp_file($files{$name});
    substr($bytes, $_ * $page_size, 10) = "\0" x 10 for 0 .. length($bytes) / $page_size - 1;
    gzip(\$bytes, "$folder/$name.gz", -Level => 9, -Time => 0, -Minimal => 1) or die "$name: $GzipError";
  }
  return scalar keys %files;
}

sub restore {
  my ($node, $folder, $change) = @_;
  my %files = files($node);
  my @kept = map { s,.*/(\w+)\.gz$,$1,r } sort glob "$folder/*.gz";
  die "$folder has @kept, and make.sql makes @{[ sort keys %files ]}" if "@kept" ne join ' ', sort keys %files;
  $node->stop;
  # The kept pages have no checksums. The command fails where they are disabled.
  run_log([ 'pg_checksums', '--disable', '-D', $node->data_dir ]);
  for my $name (@kept) {
    my $bytes;
    gunzip("$folder/$name.gz", \$bytes) or die "$name: $GunzipError";
    open my $file, '>:raw', $files{$name} or die "$files{$name}: $!";
    $change->(\$bytes) if $change;
    print $file $bytes;
    close $file or die $!;
  }
  $node->start;
  return @kept;
}

1;
