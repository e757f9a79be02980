# shellcheck shell=bash
# Building omendb and putting its three kinds of files where a PostgreSQL looks for them.

# Features of cargo beside the major: those of a library for tests.
features=''

dev_install() {
    local as_pgvector='' force=''
    install_read_options "$@"
    install_locate
    if [[ $as_pgvector ]]; then
        alias_write
        alias_check
    fi
    extension_build "$build_folder"
    extension_copy
    say "omendb $(extension_version) is installed. In a database: CREATE EXTENSION omendb;"
    if [[ $as_pgvector ]]; then
        alias_copy
        say "So it is by the name of pgvector: CREATE EXTENSION vector;"
    fi
}

# Builds what install installs.
dev_build() {
    (($# == 0)) || die "build knows no option '$1'"
    install_locate
    extension_build "$build_folder"
}

# Sets PG, pg_config and target for the PostgreSQL that PG_CONFIG names.
install_locate() {
    [[ -n ${PG_CONFIG:-} ]] ||
        die "PG_CONFIG must name the PostgreSQL to install into, for example
    PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config ./dev install"
    [[ $PG_CONFIG == */* ]] || PG_CONFIG=$(command -v "$PG_CONFIG" || echo "$PG_CONFIG")
    [[ -x $PG_CONFIG ]] || die "PG_CONFIG=$PG_CONFIG is not an executable file"
    pg_config=$PG_CONFIG
    PG=$("$pg_config" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    [[ $PG =~ ^(15|16|17|18|19)$ ]] || die "$pg_config is PostgreSQL $PG; omendb is for 15 to 19"
    rust_ensure
    [[ -e $("$pg_config" --includedir-server)/postgres.h ]] ||
        die "PostgreSQL's headers are missing: install postgresql-server-dev-$PG"
    build_folder_choose
    target=${CARGO_TARGET_DIR:-$root/target}/$build_folder
}

# Sets build_folder and build_config. The private server's folder and pg_config serve where it is a copy of the same
# package: the library is the same, and `./dev install` after `./dev demo` compiles nothing again.
build_folder_choose() {
    local private=${OMENDB_DEV_DIR:-$root/.dev}/pg$PG/server
    build_folder=install-pg$PG build_config=$pg_config
    if [[ -f $private/version && -d ${CARGO_TARGET_DIR:-$root/target}/pg$PG ]] &&
        [[ $("$("$pg_config" --bindir)/postgres" --version 2>/dev/null) == "$(<"$private/version")" ]]; then
        build_folder=pg$PG
        build_config=$(cd "$private" && pwd)/lib/postgresql/$PG/bin/pg_config
    fi
}

install_read_options() {
    local option
    for option in "$@"; do
        case $option in
            --as-pgvector) as_pgvector=yes ;;
            --force) force=yes ;;
            *) die "install knows --as-pgvector and --force, not '$option'" ;;
        esac
    done
    [[ -z $force || $as_pgvector ]] || die "--force goes with --as-pgvector"
}

# By both names where pgvector itself is not there.
extension_install_privately() {
    extension_build "pg$PG"
    extension_copy
    alias_write
    if ! pg_comes_in_wheel; then alias_copy; fi
}

# A target folder per server: with another pg_config cargo would rebuild the bindings each time.
extension_build() {
    target=${CARGO_TARGET_DIR:-$root/target}/$1
    step "building omendb for PostgreSQL $PG (release$(extension_estimate))"
    # Cargo keeps one library, whatever its features, and may believe that another one is up to date.
    [[ $(cat "$target/features" 2>/dev/null) == "$features" ]] || rm -f "$target"/release/{,deps/}libomendb.so
    mkdir -p "$target"
    echo "$features" >"$target/features"
    extension_cargo build --release --package omendb || die "the build failed"
    # Under sudo the folder stays the user's own.
    if is_root && [[ ${SUDO_USER:-} ]]; then chown -R --reference="$root" "$target"; fi
}

# Time and disk of a build from nothing.
extension_estimate() {
    [[ -d $target ]] || echo "; the first time: some 3 minutes of processor time and 800 MB in $target"
}

# cargo for the PostgreSQL of $pg_config. Paths of this machine are replaced in the library, so that the same sources give the
# same bytes everywhere. pgrx declares Rust 1.96, and compiles with 1.95.
extension_cargo() {
    local verb=$1 cargo_home=${CARGO_HOME:-$HOME/.cargo} flags=() folder
    shift
    read -ra flags <<<"${RUSTFLAGS:-}"
    # The last one that fits counts.
    flags+=("--remap-path-prefix=$root=/omendb" "--remap-path-prefix=$target=/omendb/target"
        "--remap-path-prefix=$cargo_home=/cargo")
    for folder in "$cargo_home"/registry/src/*; do flags+=("--remap-path-prefix=$folder=/cargo"); done
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}") CARGO_TARGET_DIR=$target PGRX_PG_CONFIG_PATH=${build_config:-$pg_config} \
        cargo "$verb" --ignore-rust-version ${rust_target:+--target "$rust_target"} --no-default-features --features "pg$PG${features:+,$features}" "$@"
}

# The library that was built, for the machine or for $rust_target.
extension_library() { echo "$target/${rust_target:+$rust_target/}release/libomendb.so"; }

extension_version() { sed -nE "s/^default_version *= *'(.*)'/\1/p" omendb.control; }

extension_copy() {
    local libraries extensions
    libraries=${DESTDIR:-}$("$pg_config" --pkglibdir)
    extensions=${DESTDIR:-}$("$pg_config" --sharedir)/extension
    [[ -z ${DESTDIR:-} ]] || mkdir -p "$libraries" "$extensions"
    if [[ ! -w $libraries || ! -w $extensions ]]; then
        say "omendb is built. You may not write to $libraries and $extensions, so install it with:
    sudo install -m 755 $(extension_library) $libraries/omendb.so
    sudo install -m 644 $root/omendb.control $extensions/omendb.control
    sudo install -m 644 $root/sql/omendb.sql $extensions/omendb--$(extension_version).sql${as_pgvector:+
$(alias_commands "$libraries" "$extensions")}"
        exit 1
    fi
    extension_place "$libraries" "$extensions"
}

# extension_place LIBRARIES EXTENSIONS: puts the three kinds of files into these folders.
extension_place() {
    place "$(extension_library)" "$1/omendb.so" 755
    place omendb.control "$2/omendb.control" 644
    place sql/omendb.sql "$2/omendb--$(extension_version).sql" 644
    local upgrade
    for upgrade in sql/omendb--*--*.sql; do
        [[ ! -e $upgrade ]] || place "$upgrade" "$2/${upgrade##*/}" 644
    done
}

# Copy and rename: a library that is overwritten in place crashes the backends that map it.
place() {
    install -m "$3" "$1" "$2.new"
    mv -f "$2.new" "$2"
}

# Creates omendb in the main cluster. A database keeps the SQL objects it was created with, so after a
# change of the script it needs to be emptied.
extension_create() {
    local script
    script=$(cksum <sql/omendb.sql)
    if [[ $(sql postgres -c "SELECT count(*) FROM pg_extension WHERE extname = 'omendb'") == 0 ]]; then
        sql postgres -c 'CREATE EXTENSION omendb'
        echo "$script" >"$home/created_from"
    elif [[ $(<"$home/created_from") != "$script" ]]; then
        say "sql/omendb.sql has changed since omendb was created here: ./dev up --fresh starts anew"
    fi
}
