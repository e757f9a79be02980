# shellcheck shell=bash
# Memory checkers. Both are slow, and neither is part of `./dev test` without their options.

# Regress in a server that valgrind runs: each access to memory is checked, each use of what was never written or is freed. The
# server is that of --cassert: a piece of its memory contexts is a block to valgrind. Scalar kernels unless OMENDB_SIMD says
# otherwise: valgrind knows AVX2 but not AVX-512.
test_valgrind() {
    command -v valgrind >/dev/null || packages_ensure_valgrind
    cassert_use
    test_stage
    local out=$stage/valgrind bad
    server_folder "$out"
    valgrind_bin "$out"
    # Postgres starts under valgrind as slowly as it works.
    PGCTLTIMEOUT=600 regress_bin=$out/bin test_regress_only "${OMENDB_SIMD:-scalar}"
    bad=$(valgrind_ours "$out"/*.log | tee "$home/valgrind.log" | grep -c '^error' || true)
    ((bad == 0)) || cat "$home/valgrind.log" >&2
    say "valgrind watched $(find "$out" -name '*.log' | wc -l) processes"
    test_count 'valgrind' "$((bad == 0))" "$bad"
}

packages_ensure_valgrind() {
    is_root || die "valgrind is missing. Install it, then run this again:
    sudo apt-get install -y --no-install-recommends valgrind"
    packages_install valgrind
}

# A bin folder that is the real one but for the server.
valgrind_bin() {
    server_folder "$1/bin"
    ln -s "$bin"/* "$1/bin/"
    rm "$1/bin/postgres"
    cat >"$1/bin/postgres" <<SERVER
#!/bin/sh
exec valgrind --quiet --leak-check=no --error-limit=no --num-callers=40 --vgdb=no --fair-sched=try \\
    --suppressions='$server/valgrind.supp' --log-file='$1/%p.log' '$bin/postgres' "\$@"
SERVER
    chmod 755 "$1/bin" "$1/bin/postgres"
}

# The errors in which our code has a part, a line beginning with "error" for each, then where it was. Postgres's own (it
# writes padding that it never set) are none of our business, unless memory was touched that is not there. The server declares
# buffers without a pin inaccessible; src/pg/unlocked_read.rs reads them on purpose. Where such a read and what its caller does with
# the number become one instruction, it has the caller's place: RowHints::row.
valgrind_ours() {
    awk '
        function flush() {
            ours = text ~ /\.rs:[0-9]|omendb\.so/ || text ~ /Invalid (read|write|free)|Process terminating/
            if (ours && text !~ /\(unlocked_read\.rs:|RowHints::row \(/) {
                printf "error in %s\n%s", file, text
            }
            text = ""
        }
        FNR == 1 { flush(); file = FILENAME }
        { sub(/^==[0-9]+== ?/, "") }
        /^$/ { flush(); next }
        { text = text "    " $0 "\n" }
        END { flush() }
    ' "$@"
}

# The tests of the crates that know no Postgres, with AddressSanitizer in them: every kernel that this machine has.
test_asan() {
    step "testing the crates that know no Postgres with AddressSanitizer"
    local target=${CARGO_TARGET_DIR:-$root/target}/asan log=$home/asan.log status=0 ok bad triple
    triple=$(rustc -vV | sed -n 's/^host: //p')
    # A stable compiler takes unstable flags only with this variable.
    CARGO_TARGET_DIR=$target RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
        cargo test --quiet --workspace --exclude omendb --target "$triple" --lib --tests >"$log" 2>&1 || status=$?
    test_cargo_counts
    ((status == 0)) || tail -100 "$log" >&2
    test_count 'AddressSanitizer' "$ok" "$bad"
}
