# Draws recall against queries a second from a JSON file of ./dev bench, one picture for each data set that has them:
#
#   perl benches/curves.pl .dev/bench/TIME.json docs/curves      writes docs/curves/SET.svg
use strict;
use warnings;
use JSON::PP;
use POSIX qw(floor ceil);

my ($json, $folder) = @ARGV;
defined $folder or die "usage: perl benches/curves.pl FILE.json FOLDER\n";
my $report = decode_json(do { local (@ARGV, $/) = $json; <> });

# Points by data set and engine: recall, milliseconds a query, and ef_search. A line without ef_search is at a recall.
my (%by_ef, %at_recall);
for my $result (@{ $report->{results} }) {
    my ($set, $engine, $value) = @$result{qw(set engine value)};
    if ($result->{measure} =~ /^(recall\@10|a query) at ef_search (\d+)$/) {
        $by_ef{$set}{$engine}{$2}{$1} = $value;
    } elsif ($result->{measure} =~ /^a query at recall (\.\d+)$/) {
        $at_recall{$set}{$engine}{$1}{'a query'} = $value;
    } elsif ($result->{measure} =~ /^ef_search for recall (\.\d+)$/) {
        $at_recall{$set}{$engine}{$1}{ef} = $value;
    }
}

# The points of one engine, by ef_search or else by the recalls that ./dev bench query always measures.
sub points {
    my ($set, $engine) = @_;
    my $of = $by_ef{$set}{$engine} // {};
    my @ef = grep { defined $of->{$_}{'recall@10'} && $of->{$_}{'a query'} } sort { $a <=> $b } keys %$of;
    return map { [ $of->{$_}{'recall@10'}, 1000 / $of->{$_}{'a query'}, $_ ] } @ef if @ef > 1;
    $of = $at_recall{$set}{$engine} // {};
    my @recalls = grep { $of->{$_}{'a query'} && $of->{$_}{ef} } sort { $a <=> $b } keys %$of;
    return map { [ $_, 1000 / $of->{$_}{'a query'}, $of->{$_}{ef} ] } @recalls;
}

my %looks = (
    omendb   => [ '#0b5fa5', 'circle' ],
    pgvector => [ '#b3541e', 'square' ],
);
my ($width, $height, $left, $right, $top, $bottom) = (720, 400, 70, 110, 40, 50);

my $drawn = 0;
my %sets = map { $_ => 1 } keys %by_ef, keys %at_recall;
for my $set (sort keys %sets) {
    my %lines;
    for my $engine (keys %looks) {
        my @points = points($set, $engine);
        $lines{$engine} = \@points if @points > 1;
    }
    next unless %lines;
    open my $out, '>', "$folder/$set.svg" or die "$folder/$set.svg: $!\n";
    print $out picture($set, \%lines);
    close $out or die "$folder/$set.svg: $!\n";
    print "$folder/$set.svg\n";
    $drawn++;
}
$drawn or die "$json has no milliseconds at a recall: ./dev bench query measures them\n";

sub picture {
    my ($set, $lines) = @_;
    my @all = map { @$_ } values %$lines;
    my ($least) = sort { $a <=> $b } map { $_->[0] } @all;
    my $from = floor($least * 20 - 1e-9) / 20;
    my @speeds = sort { $a <=> $b } map { $_->[1] } @all;
    my ($low, $high) = (log10_floor($speeds[0]), log10_ceil($speeds[-1]));
    my $x = sub { $left + ($_[0] - $from) / (1 - $from) * ($width - $left - $right) };
    my $y = sub { $height - $bottom - (log($_[0] / $low) / log($high / $low)) * ($height - $top - $bottom) };

    my $svg = <<"SVG";
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" font-family="sans-serif" font-size="13">
<title>$set: recall\@10 against queries a second</title>
<rect width="$width" height="$height" fill="white"/>
<text x="$left" y="22" font-size="15">$set: queries a second by recall\@10</text>
SVG
    my ($x0, $x1, $y0, $y1) = map { sprintf '%.1f', $_ } $x->($from), $x->(1), $y->($low), $y->($high);
    for (my $recall = $from; $recall < 1.001; $recall += .05) {
        my ($at, $name) = (sprintf('%.1f', $x->($recall)), sprintf '%.2f', $recall);
        my $below = $y0 + 20;
        $svg .= qq(<path d="M$at $y0 V$y1" stroke="#dddddd"/>\n<text x="$at" y="$below" text-anchor="middle">$name</text>\n);
    }
    for my $speed (ticks($low, $high)) {
        my $at = sprintf '%.1f', $y->($speed);
        my ($beside, $down) = ($left - 8, $at + 4);
        $svg .= qq(<path d="M$x0 $at H$x1" stroke="#dddddd"/>\n<text x="$beside" y="$down" text-anchor="end">$speed</text>\n);
    }
    for my $engine (sort keys %$lines) {
        my ($color, $mark) = @{ $looks{$engine} // [ 'black', 'circle' ] };
        my @at = map { [ sprintf('%.1f', $x->($_->[0])), sprintf('%.1f', $y->($_->[1])), $_->[2] ] } @{ $lines->{$engine} };
        my $path = join ' L', map { "$_->[0] $_->[1]" } @at;
        $svg .= qq(<path d="M$path" fill="none" stroke="$color" stroke-width="2"/>\n);
        for my $point (@at) {
            my ($px, $py, $ef) = @$point;
            my $shape = $mark eq 'circle'
                ? qq(<circle cx="$px" cy="$py" r="4" fill="$color">)
                : sprintf('<rect x="%.1f" y="%.1f" width="8" height="8" fill="%s">', $px - 4, $py - 4, $color);
            my $close = $mark eq 'circle' ? 'circle' : 'rect';
            $svg .= qq($shape<title>ef_search $ef</title></$close>\n);
        }
        my ($px, $py) = ($at[-1][0] + 10, $at[-1][1] + 4);
        $svg .= qq(<text x="$px" y="$py" fill="$color">$engine</text>\n);
    }
    return "$svg</svg>\n";
}

# The next number of 1, 2, 5, 10, ... at or below, and at or above.
sub log10_floor { my ($n) = @_; my $unit = 10**floor(log($n) / log 10); return $unit * ($n / $unit >= 5 ? 5 : $n / $unit >= 2 ? 2 : 1) }
sub log10_ceil { my ($n) = @_; my $unit = 10**floor(log($n) / log 10); return $unit * ($n / $unit > 5 ? 10 : $n / $unit > 2 ? 5 : $n / $unit > 1 ? 2 : 1) }

sub ticks {
    my ($low, $high) = @_;
    my @ticks;
    for my $power (0 .. 7) { push @ticks, map { $_ * 10**$power } 1, 2, 5 }
    return grep { $_ >= $low && $_ <= $high } @ticks;
}
