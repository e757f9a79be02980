# Draws pictures from a JSON file of ./dev bench: recall against queries a second for each data set that has them, and processor time
# of CREATE INDEX against rows for sets of several sizes, as those of ./dev bench scale.
#
#   perl benches/curves.pl .dev/bench/TIME.json docs/curves      writes docs/curves/SET.svg and docs/curves/build-BASE.svg
use strict;
use warnings;
use JSON::PP;
use POSIX qw(floor ceil);

my ($json, $folder) = @ARGV;
defined $folder or die "usage: perl benches/curves.pl FILE.json FOLDER\n";
my $report = decode_json(do { local (@ARGV, $/) = $json; <> });

# Points by data set and engine: recall, milliseconds a query, and ef_search. A line without ef_search is at a recall.
# Builds by base and engine: rows, seconds.
my (%by_ef, %at_recall, %builds);
for my $result (@{ $report->{results} }) {
    my ($set, $engine, $value) = @$result{qw(set engine value)};
    if ($result->{measure} =~ /^(recall\@10|a query) at ef_search (\d+)$/) {
        $by_ef{$set}{$engine}{$2}{$1} = $value;
    } elsif ($result->{measure} =~ /^a query at recall (\.\d+)$/) {
        $at_recall{$set}{$engine}{$1}{'a query'} = $value;
    } elsif ($result->{measure} =~ /^ef_search for recall (\.\d+)$/) {
        $at_recall{$set}{$engine}{$1}{ef} = $value;
    } elsif ($result->{measure} eq 'CREATE INDEX, processor time' && $set =~ /^(\w+)_(\d+)$/ && $value > 0) {
        push @{ $builds{$1}{$engine} }, [ $2, $value, "$2 rows: $value s" ];
    }
}

# The points of one engine, by ef_search or else by the recalls that ./dev bench query always measures.
sub points {
    my ($set, $engine) = @_;
    my $of = $by_ef{$set}{$engine} // {};
    my @ef = grep { defined $of->{$_}{'recall@10'} && $of->{$_}{'a query'} } sort { $a <=> $b } keys %$of;
    return map { [ $of->{$_}{'recall@10'}, 1000 / $of->{$_}{'a query'}, "ef_search $_" ] } @ef if @ef > 1;
    $of = $at_recall{$set}{$engine} // {};
    my @recalls = grep { $of->{$_}{'a query'} && $of->{$_}{ef} } sort { $a <=> $b } keys %$of;
    return map { [ $_, 1000 / $of->{$_}{'a query'}, "ef_search $of->{$_}{ef}" ] } @recalls;
}

my %looks = (
    omendb   => [ '#0b5fa5', 'circle' ],
    pgvector => [ '#b3541e', 'square' ],
);
my ($width, $height, $left, $right, $top, $bottom) = (720, 400, 70, 110, 40, 50);

my $drawn = 0;
my %sets = map { $_ => 1 } keys %by_ef, keys %at_recall;
for my $set (sort keys %sets) {
    my %lines = map { my $engine = $_; $engine => [ points($set, $engine) ] } keys %looks;
    my $least = least(map { $_->[0] } map { @$_ } values %lines) // next;
    my $from = floor($least * 20 - 1e-9) / 20;
    draw($set, "$set: queries a second by recall\@10", \%lines, even_axis($from, 1, .05, '%.2f'), \&log_axis);
}
for my $base (sort keys %builds) {
    my %lines = map { $_ => [ sort { $a->[0] <=> $b->[0] } @{ $builds{$base}{$_} } ] } keys %{ $builds{$base} };
    draw("build-$base", "$base: seconds of processor time of CREATE INDEX by rows", \%lines, \&log_axis, \&log_axis);
}
$drawn or die "$json has no milliseconds at a recall, which ./dev bench query measures, and no builds of several sizes of a set\n";

sub least { return (sort { $a <=> $b } @_)[0] }

# Axes: a position between 0 and 1 for a value, and marks with their names.
sub even_axis {
    my ($from, $to, $step, $name) = @_;
    my $count = int(($to - $from) / $step + .5);
    return sub { return {
        at => sub { ($_[0] - $from) / ($to - $from) },
        marks => [ map { [ $from + $_ * $step, sprintf $name, $from + $_ * $step ] } 0 .. $count ],
    } };
}

sub log_axis {
    my @values = sort { $a <=> $b } @_;
    my ($low, $high) = (log10_floor($values[0]), log10_ceil($values[-1]));
    $high *= 10 if $high == $low;
    return { at => sub { log($_[0] / $low) / log($high / $low) }, marks => [ map { [ $_, thousands($_) ] } ticks($low, $high) ] };
}

# draw NAME, TITLE, LINES, X, Y: a line by engine of points [x, y, words]; axes are made for the values of all points. An engine with one
# point has no line.
sub draw {
    my ($name, $title, $lines, @axes) = @_;
    my %lines = map { $_ => $lines->{$_} } grep { @{ $lines->{$_} } > 1 } keys %$lines;
    return unless %lines;
    my @all = map { @$_ } values %lines;
    my ($x_axis, $y_axis) = map { my $place = $_; $axes[$place]->(map { $_->[$place] } @all) } 0, 1;
    open my $out, '>', "$folder/$name.svg" or die "$folder/$name.svg: $!\n";
    print $out picture($title, \%lines, $x_axis, $y_axis);
    close $out or die "$folder/$name.svg: $!\n";
    print "$folder/$name.svg\n";
    $drawn++;
}

sub picture {
    my ($title, $lines, $x_axis, $y_axis) = @_;
    my $x = sub { sprintf '%.1f', $left + $x_axis->{at}->($_[0]) * ($width - $left - $right) };
    my $y = sub { sprintf '%.1f', $height - $bottom - $y_axis->{at}->($_[0]) * ($height - $top - $bottom) };
    my $svg = <<"SVG";
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" font-family="sans-serif" font-size="13">
<title>$title</title>
<rect width="$width" height="$height" fill="white"/>
<text x="$left" y="22" font-size="15">$title</text>
SVG
    my ($x0, $x1, $y0, $y1) = ($left, $width - $right, $height - $bottom, $top);
    for my $mark (@{ $x_axis->{marks} }) {
        my ($at, $below) = ($x->($mark->[0]), $y0 + 20);
        $svg .= qq(<path d="M$at $y0 V$y1" stroke="#dddddd"/>\n<text x="$at" y="$below" text-anchor="middle">$mark->[1]</text>\n);
    }
    for my $mark (@{ $y_axis->{marks} }) {
        my $at = $y->($mark->[0]);
        my ($beside, $down) = ($left - 8, $at + 4);
        $svg .= qq(<path d="M$x0 $at H$x1" stroke="#dddddd"/>\n<text x="$beside" y="$down" text-anchor="end">$mark->[1]</text>\n);
    }
    for my $engine (sort keys %$lines) { $svg .= line($engine, map { [ $x->($_->[0]), $y->($_->[1]), $_->[2] ] } @{ $lines->{$engine} }) }
    return "$svg</svg>\n";
}

# line ENGINE, POINT...: points [x, y, words] of the picture, connected, with the engine's name at the last.
sub line {
    my ($engine, @at) = @_;
    my ($color, $mark) = @{ $looks{$engine} // [ 'black', 'circle' ] };
    my $path = join ' L', map { "$_->[0] $_->[1]" } @at;
    my $svg = qq(<path d="M$path" fill="none" stroke="$color" stroke-width="2"/>\n);
    for my $point (@at) {
        my ($px, $py, $words) = @$point;
        my $shape = $mark eq 'circle'
            ? qq(<circle cx="$px" cy="$py" r="4" fill="$color">)
            : sprintf('<rect x="%.1f" y="%.1f" width="8" height="8" fill="%s">', $px - 4, $py - 4, $color);
        my $close = $mark eq 'circle' ? 'circle' : 'rect';
        $svg .= qq($shape<title>$words</title></$close>\n);
    }
    my ($px, $py) = ($at[-1][0] + 10, $at[-1][1] + 4);
    return $svg . qq(<text x="$px" y="$py" fill="$color">$engine</text>\n);
}

# The next number of 1, 2, 5, 10, ... at or below, and at or above.
sub log10_floor { my ($n) = @_; my $unit = 10**floor(log($n) / log 10); return $unit * ($n / $unit >= 5 ? 5 : $n / $unit >= 2 ? 2 : 1) }
sub log10_ceil { my ($n) = @_; my $unit = 10**floor(log($n) / log 10); return $unit * ($n / $unit > 5 ? 10 : $n / $unit > 2 ? 5 : $n / $unit > 1 ? 2 : 1) }

sub thousands { my ($n) = @_; 1 while $n =~ s/^(\d+)(\d{3})/$1,$2/; return $n }

sub ticks {
    my ($low, $high) = @_;
    my @ticks;
    for my $power (-2 .. 8) { push @ticks, map { $_ * 10**$power } 1, 2, 5 }
    return grep { $_ >= $low && $_ <= $high } @ticks;
}
