# Prints each place where Rust files use one of some rooms: perl dev.d/arrows.pl ROOT 'ROOM|ROOM' FILE...
# ROOT is `crate`, or empty for the names of crates. It sees paths (`crate::am::build`), `use crate::am;`, `use am as other;`
# and names in braces, on one line or on several. Comments do not count.
use strict;
use warnings;

my ($root, $rooms, @files) = @ARGV;
my $braces = qr/(\{(?:[^{}]++|(?-1))*+\})/;

# The first name of each path in a list in braces; braces inside belong to a path.
sub names_in {
    my ($list) = @_;
    $list = substr $list, 1, -1;
    1 while $list =~ s/$braces//;
    return map { /^\s*(\w+)/ ? $1 : () } split /,/, $list;
}

my $found = 0;
for my $file (@files) {
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    close $in;
    $text =~ s{//[^\n]*}{}g;
    my @uses;
    if ($root) {
        push @uses, [ $-[0], $1 ] while $text =~ /(?<![\w:])$root\s*::\s*(\w+)/g;
        while ($text =~ /(?<![\w:])$root\s*::\s*$braces/g) {
            my ($at, $list) = ($-[0], $1);
            push @uses, map { [ $at, $_ ] } names_in($list);
        }
    } else {
        push @uses, [ $-[0], $1 ] while $text =~ /(?<![\w:])(\w+)\s*::/g;
        push @uses, [ $-[0], $1 ] while $text =~ /\buse\s+(\w+)\s*(?:;|as\b)/g;
        while ($text =~ /\buse\s+$braces/g) {
            my ($at, $list) = ($-[0], $1);
            push @uses, map { [ $at, $_ ] } names_in($list);
        }
    }
    for my $use (sort { $a->[0] <=> $b->[0] } grep { $_->[1] =~ /^(?:$rooms)$/ } @uses) {
        my $line = 1 + (substr($text, 0, $use->[0]) =~ tr/\n//);
        print "$file:$line: $use->[1]\n";
        $found = 1;
    }
}
exit $found;
