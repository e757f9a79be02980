#!/usr/bin/env perl
# Draws the recall of an index by evaluations as SVG:
#   psql --csv -c "SELECT * FROM hnsw_recall_curve('items_embedding_idx')" | benches/recall_curve.pl [TITLE] > curve.svg
use strict;
use warnings;

my $title = $ARGV[0] // 'Recall by evaluations';
my ($width, $height, $left, $right, $top, $bottom) = (640, 400, 56, 16, 40, 48);

my @names = split /,/, (readline(STDIN) // die "no rows: pass the output of psql --csv\n") =~ s/\s+$//r;
my %series;
while (my $line = <STDIN>) {
  my %row;
  @row{@names} = split /,/, $line =~ s/\s+$//r;
  next unless length($row{recall} // '') && length($row{evaluations} // '');
  push @{ $series{ $row{setting} } }, \%row;
}
my @all = map { @$_ } values %series or die "no row has a recall\n";

# Misses on a logarithmic scale: .9, .99 and .999 are equally far apart. A recall of 1 is drawn at the upper edge.
sub log10 { return log($_[0]) / log 10 }
my ($least) = sort { $a <=> $b } map { $_->{recall} } @all;
my $deepest = $least > 0.9 ? -1 : log10(1.000001 - $least);
$deepest = $deepest > 0 ? 0 : $deepest;
my $highest = -4;
my @evaluations = sort { $a <=> $b } map { log10($_->{evaluations}) } @all;
my ($from, $to) = ($evaluations[0] - 0.1, $evaluations[-1] + 0.1);

sub across { return $left + ($width - $left - $right) * (log10($_[0]) - $from) / ($to - $from) }
sub down {
  my $miss = 1 - $_[0];
  my $depth = $miss <= 10**$highest ? $highest : log10($miss);
  return $top + ($height - $top - $bottom) * ($depth - $highest) / ($deepest - $highest);
}

my $right_edge = $width - $right;
my $lower_edge = $height - $bottom;
print <<"SVG";
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" font-family="sans-serif" font-size="12">
<rect width="$width" height="$height" fill="white"/>
<text x="$left" y="24" font-size="15">@{[ escape($title) ]}</text>
SVG
for my $recall (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999) {
  my $y = down($recall);
  next if $y > $lower_edge + 1;
  printf qq{<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>\n},
    $left, $y, $right_edge, $y, $left - 6, $y + 4, $recall =~ s/^0//r;
}
for my $power (0 .. 7) {
  for my $mark (map { $_ * 10**$power } 1, 2, 5) {
    next if log10($mark) < $from || log10($mark) > $to;
    printf qq{<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#eee"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>\n},
      across($mark), $top, across($mark), $lower_edge, across($mark), $lower_edge + 18, $mark;
  }
}
printf qq{<text x="%d" y="%d" text-anchor="middle">evaluations of a query</text>\n}, ($left + $right_edge) / 2, $height - 8;

my %color = ('hnsw.ef_search' => '#4060c0', 'omendb.target_recall' => '#c05020');
my $line = 0;
for my $setting (sort keys %series) {
  my @rows = sort { $a->{evaluations} <=> $b->{evaluations} } @{ $series{$setting} };
  my $color = $color{$setting} // '#444';
  my $points = join ' ', map { sprintf '%.1f,%.1f', across($_->{evaluations}), down($_->{recall}) } @rows;
  print qq{<polyline points="$points" fill="none" stroke="$color" stroke-width="2"/>\n};
  my $above = $setting eq 'hnsw.ef_search' ? 16 : -8;
  for my $row (@rows) {
    printf qq{<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/><text x="%.1f" y="%.1f" fill="%s" text-anchor="middle">%s</text>\n},
      across($row->{evaluations}), down($row->{recall}), $color, across($row->{evaluations}), down($row->{recall}) + $above, $color, $row->{value};
  }
  printf qq{<text x="%d" y="%d" fill="%s" text-anchor="end">%s</text>\n}, $right_edge - 8, $lower_edge - 10 - 18 * $line++, $color,
    escape($setting);
}
print "</svg>\n";

sub escape {
  my ($text) = @_;
  my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;');
  return $text =~ s/([&<>])/$entity{$1}/gr;
}
