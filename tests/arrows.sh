#!/usr/bin/env bash
# Tests that the lint of arrows (dev.d/arrows.pl) sees every way to use a room, and nothing else.
set -euo pipefail

arrows=$(dirname "${BASH_SOURCE[0]}")/../dev.d/arrows.pl
file=$(mktemp)
trap 'rm -f "$file"' EXIT
failed=0

# expect yes|no ROOT CODE: whether this code uses room `am` (of ROOT `crate`) or crate `hnsw` (of no root).
expect() {
    local found=no
    printf '%b\n' "$3" >"$file"
    perl "$arrows" "$2" "$([[ $2 ]] && echo am || echo hnsw)" "$file" >/dev/null || found=yes
    [[ $found == "$1" ]] || { printf 'found %s, not %s, in: %b\n' "$found" "$1" "$3" >&2; failed=1; }
}

expect yes crate 'use crate::am;'
expect yes crate 'use crate::am as access;'
expect yes crate 'use crate::am::build;'
expect yes crate 'use crate::{am, pg};'
expect yes crate 'use crate::{pg, am};'
expect yes crate 'use crate::{pg::text, am::build};'
expect yes crate 'use crate::{\n    pg,\n    am,\n};'
expect yes crate 'let x = crate::am::build();'
expect no crate 'use crate::pg::am;'
expect no crate 'use crate::{pg::{am, text}, keys};'
expect no crate 'use crate::ambient;'
expect no crate '// use crate::am;'
expect no crate 'use other::am;'
expect yes '' 'use hnsw;'
expect yes '' 'use hnsw::Level;'
expect yes '' 'use {hnsw, layout};'
expect yes '' 'fn f(level: hnsw::Level) {}'
expect no '' 'use crate::hnsw::Level;'
expect no '' 'let hnsw = 1;'
((failed == 0)) && echo "arrows: all seen"
