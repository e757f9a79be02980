# shellcheck shell=bash
# 64-bit ARM: what is compiled for it here runs in an emulator, PostgreSQL as well. That shows what the NEON kernels compute and
# that the extension works, not how fast.

aarch64_target=aarch64-unknown-linux-gnu

# The tests of the crates that know no Postgres, then what a user types, in a PostgreSQL for aarch64.
test_aarch64() {
    aarch64_ensure
    if [[ -z $name ]]; then test_aarch64_pure; fi
    aarch64_use
    extension_build "pg$PG-arm64"
    extension_copy
    test_stage
    # Postgres starts in an emulator as slowly as it works.
    export PGCTLTIMEOUT=600
    regress_bin=$bin test_regress_only ''
    # Indexes whose bytes come from another architecture.
    if [[ ! $name || $name == 050_released ]]; then name=050_released test_tap; fi
}

test_aarch64_pure() {
    step "testing the crates that know no Postgres for aarch64, in an emulator (some 15 minutes)"
    local target=${CARGO_TARGET_DIR:-$root/target}/aarch64 log=$home/aarch64.log status=0 ok bad
    CARGO_TARGET_DIR=$target CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64-static -L /usr/aarch64-linux-gnu' \
        cargo test --quiet --workspace --exclude omendb --target "$aarch64_target" --lib --tests --no-fail-fast \
        >"$log" 2>&1 || status=$?
    test_cargo_counts
    ((status == 0)) || tail -100 "$log" >&2
    test_count aarch64 "$ok" "$bad"
}

# The emulator, a compiler that links, and Rust's standard library for the architecture.
aarch64_ensure() {
    local missing=() libraries
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    package_unless gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
    package_unless libc6-dev-arm64-cross test -e /usr/aarch64-linux-gnu/lib/crt1.o
    package_unless qemu-user-static command -v qemu-aarch64-static
    if ((${#missing[@]} > 0)); then
        is_root || die "these packages are missing. Install them, then run this again:
    sudo apt-get install -y --no-install-recommends ${missing[*]}"
        step "installing ${missing[*]}"
        packages_install "${missing[@]}"
    fi
    libraries=$(rustc --print target-libdir --target "$aarch64_target")
    [[ ! -d $libraries ]] || return 0
    command -v rustup >/dev/null || die "Rust's standard library for aarch64 is missing in $libraries"
    rustup --quiet target add "$aarch64_target" || die "rustup could not add $aarch64_target"
}

# From here on the extension is built for aarch64, with a PostgreSQL for it in place of the private one.
aarch64_use() {
    local tree=$home/arm64 headers=/usr/aarch64-linux-gnu/include
    server=$tree/usr bin=$tree/usr/lib/postgresql/$PG/bin pg_config=$tree/usr/lib/postgresql/$PG/bin/pg_config
    if [[ ! -d $tree ]]; then aarch64_unpack "$tree"; fi
    rust_target=$aarch64_target build_config=$pg_config
    export BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu="-isystem $headers"
}

# aarch64_unpack FOLDER: PostgreSQL with its headers and libraries, from the Debian that has this major.
aarch64_unpack() {
    local -A suites=([15]=bookworm [17]=trixie)
    local suite=${suites[$PG]:-} program
    [[ $suite ]] || die "PostgreSQL $PG for aarch64 is in no stable Debian: PG=15 and PG=17 are"
    step "fetching PostgreSQL $PG for aarch64 from Debian $suite (40 MB)"
    rm -rf "$1.new"
    debian_unpack "$1.new" arm64 "$suite" "postgresql-$PG" "postgresql-server-dev-$PG"
    rm -rf "$1.new/usr/lib/postgresql/$PG/lib/"{llvmjit.so,bitcode}
    # Programs name their loader in /lib, where packages since Debian 13 have no files.
    [[ -e $1.new/lib ]] || ln -s usr/lib "$1.new/lib"
    for program in bin/{initdb,pg_config,pg_ctl,postgres,psql} lib/pgxs/src/test/regress/pg_regress; do
        aarch64_emulate "$1.new/usr/lib/postgresql/$PG/$program" "$1"
    done
    mv "$1.new" "$1"
}

# aarch64_emulate PROGRAM FOLDER: has a script of its name start the program in the emulator, with the libraries of FOLDER. It
# does not take the kernel's help, since programs of PostgreSQL start each other by these names.
aarch64_emulate() {
    mv "$1" "$1.aarch64"
    cat >"$1" <<EMULATOR
#!/bin/sh
exec qemu-aarch64-static -L '$2' -0 "\$0" "\$0.aarch64" "\$@"
EMULATOR
    chmod 755 "$1"
}
