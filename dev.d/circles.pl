# Prints the uses that make circles of a crate's files: perl dev.d/circles.pl FOLDER, the folder with its lib.rs. A file may use
# the modules that it holds, and be used by them. Comments and tests in files do not count.
use strict;
use warnings;
use File::Find;

my ($root) = @ARGV;
my $braces = qr/(\{(?:[^{}]++|(?-1))*+\})/;

# The text of each module by its path, as `storage/vacuum`; the crate's own is empty.
my %text;
find(sub {
  return unless /\.rs$/;
  my $module = substr $File::Find::name, length "$root/";
  $module =~ s{(^|/)(mod|lib)\.rs$|\.rs$}{};
  open my $in, '<', $_ or die "$File::Find::name: $!\n";
  local $/;
  $text{$module} = (<$in> =~ s{//[^\n]*}{}gr) =~ s/^#\[cfg\((all\()?test.*//msr;
}, $root);

# The paths of a tree of names, which may have braces.
sub paths_of {
  my ($tree) = @_;
  if ($tree =~ /^([^{]*)$braces$/) {
    my ($prefix, $list, @items) = ($1, substr($2, 1, -1));
    push @items, $1 while $list =~ /\s*((?:[^,{]|$braces)+)/g;
    return map { paths_of($prefix . s/\s+$//r) } @items;
  }
  return $tree =~ s/\s+as\s+\w+$//r;
}

# The module named by a path in another one; nothing for items of other crates.
sub module_of {
  my ($module, $path) = @_;
  my @names = split /\s*::\s*/, $path;
  my @at = split m{/}, $module;
  if ($names[0] eq 'crate') { @at = (); shift @names }
  elsif ($names[0] eq 'self') { shift @names }
  elsif ($names[0] ne 'super') { return unless exists $text{ join '/', @at, $names[0] } }
  while (@names && $names[0] eq 'super') { pop @at; shift @names }
  push @at, shift @names while @names && exists $text{ join '/', @at, $names[0] };
  return join '/', @at;
}

my %uses;
for my $module (keys %text) {
  my @paths;
  push @paths, paths_of($1 =~ s/\s+$//r) while $text{$module} =~ /\buse\s+([^;]+);/g;
  push @paths, $1 while $text{$module} =~ /((?:\bcrate|\bsuper)(?:::\w+)+)/g;
  for my $used (grep { defined } map { module_of($module, $_) } @paths) {
    $uses{$module}{$used} = 1 unless "$module/" =~ m{^\Q$used\E(/|$)} || "$used/" =~ m{^\Q$module\E(/|$)} || $used eq '';
  }
}

# Modules that use none of the others, or are used by none, are in no circle.
my %left = map { $_ => 1 } keys %text;
while (1) {
  my %used = map { $_ => 1 } map { keys %{ $uses{$_} } } keys %left;
  my @out = grep { !$used{$_} || !grep { $left{$_} } keys %{ $uses{$_} } } keys %left;
  last unless @out;
  delete @left{@out};
}
for my $module (sort keys %left) {
  print "$root: $module uses $_\n" for sort grep { $left{$_} } keys %{ $uses{$module} };
}
exit(%left ? 1 : 0);
