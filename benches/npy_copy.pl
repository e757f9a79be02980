#!/usr/bin/perl
# Turns NumPy arrays into what COPY ... WITH (FORMAT binary) reads: rows of an id from 0, a vector and, with a
# second file, the first 10 numbers of each of its rows as int[].
#
#   npy_copy.pl VECTORS.npy [TRUTH.npy]
#
# Knows the types f16, f32, u8 (vectors) and i32 (truth), all little-endian, in row order.
use strict;
use warnings;

my ($vectors, $truth) = map { npy($_) } @ARGV;
my $to_float4 = reader_of_floats($vectors->{type});

binmode STDOUT;
print "PGCOPY\n\377\r\n\0", pack('NN', 0, 0);
for my $id (0 .. $vectors->{rows} - 1) {
  my $vector = pack('nn', $vectors->{columns}, 0) . $to_float4->(row($vectors));
  print pack('n', $truth ? 3 : 2), field(pack('N', $id)), field($vector);
  print field(int4_array((unpack 'l<*', row($truth))[0 .. 9])) if $truth;
}
print pack('n', 0xffff);

sub field { return pack('N', length $_[0]) . $_[0] }

# One dimension, no nulls, element type int4 (oid 23), lower bound 1.
sub int4_array { return pack('NNNNN', 1, 0, 23, scalar @_, 1) . join '', map { field(pack 'l>', $_) } @_ }

sub npy {
  my ($path) = @_;
  open my $file, '<:raw', $path or die "$path: $!\n";
  read $file, my $head, 10;
  read $file, my $header, unpack('x8 v', $head);
  my ($type, $rows, $columns) = $header =~ /'descr': '[<|](\w+)'.*'shape': \((\d+), (\d+)\)/
    or die "$path: not an array of two dimensions\n";
  die "$path: not in row order\n" if $header =~ /'fortran_order': True/;
  return { file => $file, type => $type, rows => $rows, columns => $columns,
    bytes => $columns * substr $type, 1 };
}

sub row {
  my ($array) = @_;
  read($array->{file}, my $row, $array->{bytes}) == $array->{bytes} or die "an array ends early\n";
  return $row;
}

# A function from a row's bytes to big-endian float4s; short types through a table of all their values.
sub reader_of_floats {
  my ($type) = @_;
  return sub { pack 'N*', unpack 'V*', $_[0] } if $type eq 'f4';
  my @table = map { pack 'f>', $type eq 'f2' ? half($_) : $_ } 0 .. ($type eq 'f2' ? 65535 : 255);
  my $code = { f2 => 'v*', u1 => 'C*' }->{$type} or die "cannot read type $type\n";
  return sub { join '', @table[ unpack $code, $_[0] ] };
}

sub half {
  my ($bits) = @_;
  my ($sign, $exponent, $fraction) = ($bits >> 15 ? -1 : 1, $bits >> 10 & 31, $bits & 1023);
  return 0 if $exponent == 31;    # infinities and NaN, which no embedding holds
  return $sign * ($exponent ? (1 + $fraction / 1024) * 2**($exponent - 15) : $fraction / 1024 * 2**-14);
}
