#!/usr/bin/env bash
# Tests that the lint of circles (dev.d/circles.pl) sees files that use each other, and nothing else.
set -euo pipefail

circles=$(dirname "${BASH_SOURCE[0]}")/../dev.d/circles.pl
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# expect yes|no A B: whether a crate has a circle with this code in its files a.rs and b.rs; a/mod.rs holds a/inner.rs.
expect() {
    local found=no
    rm -rf "$folder/src"
    mkdir -p "$folder/src/a"
    printf '%b\n' 'mod a;\nmod b;\nmod c;' >"$folder/src/lib.rs"
    printf '%b\n' "mod inner;\n$2" >"$folder/src/a/mod.rs"
    printf '%b\n' 'use super::A;' >"$folder/src/a/inner.rs"
    printf '%b\n' "$3" >"$folder/src/b.rs"
    printf '%b\n' 'use crate::a::A;\nuse std::fmt;' >"$folder/src/c.rs"
    perl "$circles" "$folder/src" >/dev/null || found=yes
    [[ $found == "$1" ]] || { printf 'found %s, not %s, in: %b and %b\n' "$found" "$1" "$2" "$3" >&2; failed=1; }
}

expect no '' ''
expect no 'use crate::b::B;' ''
expect no '' 'use crate::a::A;'
expect yes 'use crate::b::B;' 'use crate::a::A;'
expect yes 'use super::b::B;' 'use super::a::A;'
expect yes 'use crate::{b::B, c::{C, D}};' ''
expect yes 'use crate::c;' ''
expect yes 'fn f() { crate::b::g() }' 'use crate::{\n    a::{A, inner},\n};'
expect no '// use crate::b::B;' 'use crate::a::A;'
expect no 'use b::B;' 'use crate::a::A;'
expect no 'use std::b;\nuse inner::I;' 'use crate::a::A;'
expect no '#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}' 'use crate::a::A;'
((failed == 0)) && echo "circles: all seen"
