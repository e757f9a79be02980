# shellcheck shell=bash
# Checks of the code without running it.

dev_lint() {
    no_arguments lint "$@"
    pg_prepare
    target=${CARGO_TARGET_DIR:-$root/target}/pg$PG
    step "formatting"
    cargo fmt --all --check || die "cargo fmt --all puts this right"
    step "clippy on the crates that know no Postgres"
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} \
        cargo clippy --quiet --workspace --exclude omendb --all-targets -- -D warnings || die "clippy found something"
    step "clippy on the extension"
    extension_cargo clippy --quiet --release --package omendb -- -D warnings || die "clippy found something"
    features=races extension_cargo clippy --quiet --release --package omendb -- -D warnings || die "clippy found something in the feature races"
    step "documentation"
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} RUSTDOCFLAGS='-D warnings' \
        cargo doc --quiet --no-deps --workspace --exclude omendb || die "rustdoc found something"
    step "which room uses which"
    lint_arrows
    lint_circles
    lint_boundaries
    lint_versions
    lint_signatures
    lint_shell
    lint_optional pgxn_meta META.json
    lint_optional hadolint Dockerfile
    say "lint: no complaints"
}

# The table of ARCHITECTURE.md: a room, then the rooms it must not know.
lint_arrows() {
    local broken=0
    tests/arrows.sh >/dev/null || die "the lint of arrows does not see every use"
    lint_room src/pg 'crate' 'am|build|scan|opclass|keys|storage|table|types|settings|error|inspect|estimate|recall|options'
    lint_room src/table 'crate' 'am|build|scan|opclass|keys|storage|types|settings|error|inspect|estimate|recall|options'
    lint_room src/table '' 'distance|hnsw|quantize|values'
    lint_room src/types 'crate' 'am|build|scan|opclass|keys|storage|options'
    lint_room src/types '' 'hnsw|layout|quantize'
    lint_room src/pg '' 'distance|hnsw|quantize|values'
    lint_room src/storage 'crate' 'am|build|scan|opclass|keys|table|types|settings|options'
    lint_room src/storage '' 'values'
    lint_room src/build 'crate' 'am|scan|opclass|types|estimate'
    lint_room src/scan 'crate' 'am|build|inspect|options'
    lint_room src/keys 'crate' 'am|build|scan|opclass|storage|table|types|inspect|settings|options'
    lint_room src/opclass 'crate' 'am|build|scan|inspect|settings|options'
    lint_room src/build '' 'values'
    lint_room src/settings.rs 'crate' 'am|build|storage|types|options'
    lint_room src/options.rs 'crate' 'am|build|scan|keys|storage|table|types|settings|inspect|estimate|recall'
    lint_room src/error.rs 'crate' 'am|build|storage|types'
    lint_room src/inspect 'crate' 'am|build|scan|settings'
    lint_room src/recall 'crate' 'am|build|estimate|settings'
    lint_room src/estimate.rs 'crate' 'am|scan|storage|settings|inspect'
    lint_room crates '' 'pgrx|pg_sys'
    lint_room crates/distance '' 'filter|hnsw|layout|quantize|unlocked|values'
    lint_room crates/values '' 'filter|hnsw|layout|quantize|unlocked'
    lint_room crates/quantize '' 'filter|hnsw|layout|unlocked|values'
    lint_room crates/filter '' 'distance|hnsw|layout|quantize|unlocked|values'
    lint_room crates/hnsw '' 'filter|layout|unlocked|values'
    lint_room crates/layout '' 'distance|quantize|unlocked|values'
    lint_room crates/unlocked '' 'distance|filter|hnsw|layout|quantize|values'
    ((broken == 0)) || die "$broken arrows point the wrong way"
}

# No two files use each other, and no more of them in a ring.
lint_circles() {
    local folder found
    tests/circles.sh >/dev/null || die "the lint of circles does not see every use"
    for folder in src crates/*/src; do
        found=$(perl "$root/dev.d/circles.pl" "$folder") || die "files use each other:
$found"
    done
}

# lint_room WHERE ROOT ROOMS: WHERE may not use ROOT::ROOM, itself or something in it (arrows.pl, tested by tests/arrows.sh).
lint_room() {
    local found files=()
    [[ -e $1 ]] || return 0
    mapfile -t files < <(find "$1" -name '*.rs')
    found=$(perl "$root/dev.d/arrows.pl" "$2" "$3" "${files[@]}") && return
    say "$1 must not know ($3):"
    say "$found"
    broken=$((broken + 1))
}

# pgrx's own attributes lose most of what an ERROR carries (src/pg/boundary.rs). Loading the library is no callback.
lint_boundaries() {
    local found
    found=$(grep -rnE --include='*.rs' '^ *#\[(pgrx::)?pg_(guard|extern)' src | grep -vE '^src/(lib|pg_tests)\.rs:' || true)
    [[ -z $found ]] || die "boundary() and sql_function! stand for these: $found"
}

# One version everywhere, a version of the alias for it, and a way to it from the last release.
lint_versions() {
    local version file last
    version=$(extension_version)
    for file in Cargo.toml META.json CHANGELOG.md; do
        grep -qE "(version\"?[ =:]+\"|^## )$version([\" ]|\$)" "$file" || die "$file does not name version $version of omendb.control"
    done
    [[ ${alias_of[$version]:-} ]] || die "alias_of in dev.d/alias.sh has no version of the alias for $version"
    last=$(find sql -path '*/released/omendb--*.sql' | sed -nE 's/.*omendb--(.*)\.sql/\1/p' | sort -V | tail -1)
    [[ -z $last || $last == "$version" || -e sql/omendb--$last--$version.sql ]] ||
        die "sql/omendb--$last--$version.sql is missing: the update from the last release"
}

# A session may have loaded the library of an earlier release before the extension was updated. So functions of SQL whose arguments
# or columns change name another C function, which that library lacks: the session gets an ERROR, and reads no row that is too short.
lint_signatures() {
    local script changed
    for script in sql/released/omendb--*.sql; do
        [[ -e $script && $script != *--"$(extension_version)".sql ]] || continue
        changed=$(awk 'NR == FNR { now[$0]; symbols[$1]; next } $1 in symbols && !($0 in now)' \
            <(lint_signatures_of sql/omendb.sql) <(lint_signatures_of "$script"))
        [[ -z $changed ]] || die "these functions of $script are others now, and need C functions of another name:
$changed"
    done
}

# A line for each C function in a script: its symbol, then the function of SQL.
lint_signatures_of() {
    perl -0777 -ne 'while (/CREATE FUNCTION ([^;]*?)\s+AS \x27MODULE_PATHNAME\x27, \x27(\w+)\x27/g) {
        my ($function, $symbol) = ($1, $2);
        print "$symbol ", $function =~ s/\s+/ /gr, "\n";
    }' "$1"
}

# lint_optional PROGRAM FILE: has a checker that is not of Debian look at a file, where it is installed (docs/releasing.md).
lint_optional() {
    if command -v "$1" >/dev/null; then
        step "$1"
        "$1" "$2" >&2 || die "$1 found something in $2"
    else
        say "$1 is not installed: $2 was not checked"
    fi
}

lint_shell() {
    if command -v shellcheck >/dev/null; then
        step "shellcheck"
        local script scripts=()
        for script in dev .ci/run dev.d/*.sh benches/*.sh tests/*.sh; do
            [[ ! -e $script ]] || scripts+=("$script")
        done
        shellcheck "${scripts[@]}" || die "shellcheck found something"
    else
        say "shellcheck is not installed: the shell scripts were not checked"
    fi
}
