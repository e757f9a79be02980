# shellcheck shell=bash
# The tests of the pure crates for 64-bit ARM, compiled here and run in an emulator: what the NEON kernels compute, not how fast.

test_aarch64() {
    aarch64_ensure
    step "testing the crates that know no Postgres for aarch64, in an emulator (some 15 minutes)"
    local target=${CARGO_TARGET_DIR:-$root/target}/aarch64 log=$home/aarch64.log status=0 ok bad
    CARGO_TARGET_DIR=$target CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64-static -L /usr/aarch64-linux-gnu' \
        cargo test --quiet --workspace --exclude omendb --target aarch64-unknown-linux-gnu --lib --tests --no-fail-fast \
        >"$log" 2>&1 || status=$?
    test_cargo_counts
    ((status == 0)) || tail -100 "$log" >&2
    test_count aarch64 "$ok" "$bad"
}

# The emulator, a compiler that links, and Rust's standard library for the architecture.
aarch64_ensure() {
    local missing=() libraries
    package_unless gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
    package_unless libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/lib/crt1.o
    package_unless qemu-user-static command -v qemu-aarch64-static
    if ((${#missing[@]} > 0)); then
        is_root || die "these packages are missing. Install them, then run this again:
    sudo apt-get install -y --no-install-recommends ${missing[*]}"
        step "installing ${missing[*]}"
        packages_install "${missing[@]}"
    fi
    libraries=$(rustc --print target-libdir --target aarch64-unknown-linux-gnu)
    [[ ! -d $libraries ]] || return 0
    command -v rustup >/dev/null || die "Rust's standard library for aarch64 is missing in $libraries"
    rustup --quiet target add aarch64-unknown-linux-gnu || die "rustup could not add aarch64-unknown-linux-gnu"
}
