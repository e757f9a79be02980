# Places in the pages of an index's file.
#
#   use Slots;
#   my $id = Slots::id($slot_len, $page, $at);  # the id of the element in the slot of a page that begins at this byte
package Slots;

use strict;
use warnings;

use constant { PAGE => 8192, HEADER => 24, FRAME => 40 };

# An id is the block, then the slot in as many bits as the slots of a page take.
sub id {
  my ($slot_len, $page, $at) = @_;
  my ($bits, $per_page) = (0, int((PAGE - FRAME) / $slot_len));
  $bits++ while 1 << $bits < $per_page;
  return $page << $bits | ($at - HEADER) / $slot_len;
}

1;
