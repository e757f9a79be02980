# shellcheck shell=bash
# All tests: the pure crates by cargo, what a user types by pg_regress, what takes a server by prove.
# Regress and TAP run in servers of their own that vanish afterwards, from a copy of the tests in
# the private folder: the server's user need not be able to read the checkout.

dev_test() {
    local long='' pgrx='' quick='' checker='' from='' name=''
    test_read_options "$@"
    pg_prepare
    passed=0 failed=0
    if [[ $checker ]]; then
        test_with_checker
        return
    fi
    if [[ $from ]]; then
        test_upgrade
        return
    fi
    data_find
    if [[ -z $quick && -z $name ]]; then test_pure; fi
    extension_install_privately
    test_stage
    if [[ -z $name && -x tests/symbols.sh ]]; then test_symbols; fi
    test_regress
    test_isolation
    if [[ -z $quick ]]; then test_tap; fi
    if [[ $pgrx ]]; then test_pgrx; fi
    test_verdict 'all tests'
}

test_verdict() {
    step "$1 on PostgreSQL $PG: $passed passed, $failed failed"
    ((failed == 0 && passed > 0))
}

# Runs the tests of --valgrind, --asan, --cassert, --races or --aarch64, and no others.
test_with_checker() {
    if [[ $checker == cassert || $checker == valgrind ]]; then extension_install_privately; fi
    "test_$checker"
    test_verdict "tests with $checker"
}

test_read_options() {
    local option before=''
    for option in "$@"; do
        case $before$option in
            --from) before=--from= && continue ;;
            --from=*) from=${option#--from=} ;;
            --long) long=yes ;;
            --pgrx) pgrx=yes ;;
            --quick) quick=yes ;;
            --valgrind | --asan | --cassert | --races | --aarch64) checker=${option#--} ;;
            -*) die "test knows --quick, --long, --pgrx, --valgrind, --asan, --cassert, --races, --aarch64 and --from MAJOR, not '$option'" ;;
            *) name=${option##*/} name=${name%.*} ;;
        esac
        before=''
    done
    [[ -z $before ]] || die "--from needs a major to upgrade from"
    [[ -z $name || -e tests/pg_regress/sql/$name.sql || -e tests/isolation/specs/$name.spec || -e tests/t/$name.pl ]] ||
        die "there is neither tests/pg_regress/sql/$name.sql nor tests/isolation/specs/$name.spec nor tests/t/$name.pl"
}

# Exports DATA_DIR where the large sets are found and can be read by the server's user.
data_find() {
    DATA_DIR=${OMENDB_DATA:-$root/../shared/data}
    if as_server test -r "$DATA_DIR/wordnet_base.f16.npy"; then
        DATA_DIR=$(cd "$DATA_DIR" && pwd)
        export DATA_DIR
    else
        unset DATA_DIR
        say "large data sets not found: recall tests on them are skipped (OMENDB_DATA=DIR names their folder)"
    fi
}

# test_count WHAT PASSED FAILED: one summary line, and the sums for the last.
test_count() {
    say "$1: $2 passed, $3 failed"
    passed=$((passed + $2)) failed=$((failed + $3))
}

test_pure() {
    step "testing the crates that know no Postgres"
    local log=$home/pure.log status=0 ok bad
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} cargo pure --quiet >"$log" 2>&1 || status=$?
    test_cargo_counts
    ((status == 0)) || cat "$log" >&2
    test_count 'cargo pure' "$ok" "$bad"
}

# Sets ok and bad to what cargo counts in $log; $status is how it ended.
test_cargo_counts() {
    ok=$(sed -nE 's/^test result: .* ([0-9]+) passed; .*/\1/p' "$log" | test_sum)
    bad=$(sed -nE 's/^test result: .* ([0-9]+) failed; .*/\1/p' "$log" | test_sum)
    if ((status != 0 && bad == 0)); then bad=1; fi
}

test_sum() { awk '{ sum += $1 } END { print sum + 0 }'; }

test_stage() {
    stage=$home/test
    rm -rf "$stage"
    server_folder "$stage"
    cp -R README.md docs tests demo benches sql omendb.control dev.d "$stage/"
    ! is_root || chown -R postgres:postgres "$stage"
}

# A library that pauses in unlocked reads: the searches whose rows are compared with those of sequential scans, or the test of that
# name. Afterwards the private server has its own library again.
test_races() {
    local features=races names=(038_races 009_eviction 026_long_scans)
    [[ -z $name ]] || names=("$name")
    extension_install_privately
    ! tests/symbols.sh "$(extension_library)" >/dev/null 2>&1 || die "tests/symbols.sh does not see that the library is one for tests"
    test_stage
    data_find
    for name in "${names[@]}"; do OMENDB_RACES=yes test_tap; done
    features=''
    extension_install_privately
}

# Every symbol that the SQL names exists, every exported one is declared.
test_symbols() {
    step "comparing SQL and exported symbols"
    if tests/symbols.sh "$(extension_library)" >&2; then
        test_count symbols 1 0
    else
        test_count symbols 0 1
    fi
}

test_regress() {
    local regress_bin=$bin
    test_regress_only ''
    if [[ -z $quick ]]; then test_regress_only scalar; fi
}

# The regress files asked for, with the kernels that the argument lowers to, if any.
test_regress_only() {
    local files=()
    mapfile -t files < <(test_files tests/pg_regress/sql sql)
    ((${#files[@]} > 0)) || return 0
    test_regress_with "$1" "${files[@]}"
}

# test_files FOLDER SUFFIX: the names of its files, or the one that was asked for.
test_files() { find "$1" -name "${name:-*}.$2" -printf '%f\n' | sed "s/\.$2\$//" | sort; }

# Sessions whose steps come in a fixed order.
test_isolation() {
    local files=() out=$stage/isolation log=$home/isolation.log status=0 ok bad
    mapfile -t files < <(test_files tests/isolation/specs spec)
    ((${#files[@]} > 0)) || return 0
    server_folder "$out"
    step "isolation tests"
    as_server env PATH="$bin:$PATH" "$(pgxs_test isolation)/pg_isolation_regress" \
        --bindir="$bin" --inputdir="$stage/tests/isolation" --outputdir="$out" \
        --temp-instance="$out/cluster" --temp-config="$stage/tests/pg_regress/server.conf" \
        --no-locale --encoding=UTF8 --load-extension=omendb "${files[@]}" >"$log" 2>&1 || status=$?
    test_regress_counts
    test_regress_explain "$status" "$log" "$out" tests/isolation
    test_count isolation "$ok" "$bad"
}

# Counts the results of pg_regress in $log. Before 16 a line is "test name ... ok", from 16 on "ok 1 - name".
test_regress_counts() {
    ok=$(grep -cE '^(test .*\.\.\. ok|ok [0-9])' "$log" || true)
    bad=$(grep -cE '^(test .*\.\.\. FAILED|not ok)' "$log" || true)
    if ((status != 0 && bad == 0)); then bad=1; fi
}

# pg_regress on a cluster of its own. The first argument, if any, lowers the kernels to it.
test_regress_with() {
    local simd=$1 out=$stage/regress log=$home/regress.log status=0 ok bad
    shift
    rm -rf "$out"
    server_folder "$out"
    step "pg_regress${simd:+ with OMENDB_SIMD=$simd}"
    as_server env ${simd:+OMENDB_SIMD="$simd"} "$(pgxs_test regress)/pg_regress" \
        --bindir="$regress_bin" --inputdir="$stage/tests/pg_regress" --outputdir="$out" \
        --temp-instance="$out/cluster" --temp-config="$stage/tests/pg_regress/server.conf" \
        --no-locale --encoding=UTF8 --load-extension=omendb "$@" >"$log" 2>&1 || status=$?
    test_regress_counts
    test_regress_explain "$status" "$log" "$out" tests/pg_regress
    test_count "regress${simd:+ ($simd)}" "$ok" "$bad"
}

test_regress_explain() {
    (($1 != 0)) || return 0
    grep -E '^(test .*FAILED|not ok)' "$2" >&2 || true
    if [[ -s $3/regression.diffs ]]; then
        cat "$3/regression.diffs" >&2
        say "If a new result is right: cp $3/results/NAME.out $4/expected/"
    else
        cat "$2" >&2
        [[ ! -e $3/log/postmaster.log ]] || tail -30 "$3/log/postmaster.log" >&2
    fi
}

# The wheel's pg_regress for 18 does not start; that for 16 beside it drives any major.
pgxs_test() { echo "$(dirname "$(dirname "$("${pg_config/pginstall18/pginstall}" --pgxs)")")/test/$1"; }

# The wheels lack Postgres's Perl modules; those of the system's package serve their majors too.
perl_modules() {
    local folder
    for folder in "$(pgxs_test perl)" /usr/lib/postgresql/*/lib/pgxs/src/test/perl; do
        if [[ -e $folder/PostgreSQL/Test/Cluster.pm ]]; then
            echo "$folder"
            return
        fi
    done
}

test_tap() {
    local files=() modules log=$home/tap.log status=0 ok bad
    if [[ $name ]]; then files=("tests/t/$name.pl"); else files=(tests/t/*.pl); fi
    [[ -e ${files[0]} ]] || return 0
    modules=$(perl_modules)
    if [[ -z $modules ]]; then
        say "TAP tests skipped: PostgreSQL's Perl modules are missing (Debian: postgresql-server-dev-15)"
        return 0
    fi
    test_faults
    step "TAP tests"
    test_prove "$modules" "${files[@]/#/$stage/}" 2>&1 | tee "$log" >&2 || status=$?
    ok=$(sed -nE 's/^Files=[0-9]+, Tests=([0-9]+),.*/\1/p' "$log" | test_sum)
    bad=$(sed -nE 's/^.*Failed ([0-9]+)\/[0-9]+ subtests.*/\1/p' "$log" | test_sum)
    if ((status != 0 && bad == 0)); then bad=1; fi
    ((status == 0)) || test_tap_explain "$log"
    test_count TAP "$((ok - (bad < ok ? bad : ok)))" "$bad"
}

# The library that makes calls of omendb fail: for 025_faults. Sets `faults` to its path, or to nothing where it knows no way.
test_faults() {
    faults=''
    [[ $(uname -sm) == 'Linux x86_64' ]] || return 0
    faults=$stage/faults.so
    cc -shared -fPIC -O1 -Wall -Wno-declaration-after-statement "-I$("$pg_config" --includedir-server)" \
        "$stage/tests/faults/faults.c" -o "$faults" || die "tests/faults/faults.c does not compile"
    chmod 755 "$faults"
}

# The end of what each file that failed says in its log: what ended it, Postgres's modules write only there.
test_tap_explain() {
    local name
    while read -r name; do
        say "the end of the log of $name.pl:"
        # Before 16 the modules have a folder of their own for logs.
        find "$stage/tap" -name "regress_log_$name" -exec tail -n 60 {} + | cut -c 1-2000 >&2
    done < <(sed -nE 's/^\S*\/([^/]+)\.pl .*\(Wstat: .*/\1/p' "$1")
}

# pg_upgrade from a private server of an older major to this one.
test_upgrade() {
    local old_bin modules log=$home/upgrade.log status=0
    # In a shell of its own: both majors have their variables of one name.
    old_bin=$(PG=$from && pg_prepare && extension_install_privately && echo "$bin")
    [[ -x $old_bin/postgres ]] || die "there is no PostgreSQL $from to upgrade from"
    extension_install_privately
    test_stage
    modules=$(perl_modules)
    [[ $modules ]] || die "PostgreSQL's Perl modules are missing (Debian: postgresql-server-dev-15)"
    step "pg_upgrade from $from to $PG"
    OMENDB_OLD_BIN=$old_bin test_prove "$modules" "$stage/tests/upgrade/pg_upgrade.pl" 2>&1 | tee "$log" >&2 || status=$?
    test_count "pg_upgrade from $from to $PG" "$((status == 0))" "$((status != 0))"
    test_verdict "upgrade from $from"
}

test_prove() {
    local modules=$1 out=$stage/tap
    shift
    server_folder "$out"
    as_server env PATH="$bin:$PATH" PERL5LIB="$modules:$stage/tests/t/lib" \
        TESTDIR="$out" TESTLOGDIR="$out/log" TESTDATADIR="$out/data" TMPDIR=/tmp \
        PG_REGRESS="$(pgxs_test regress)/pg_regress" PGPORT=65432 \
        OMENDB_DEMO="$stage/demo" OMENDB_SQL="$stage/sql" OMENDB_LONG="$long" OMENDB_FAULTS="${faults:-}" \
        prove --jobs 2 --timer "$@"
}

# Units that only a backend can run. cargo-pgrx builds the library with them in it, in a cargo folder of its own,
# and installs that in place of ours: afterwards ours is put back.
test_pgrx() {
    test_pgrx_is_there || return 0
    local folder=${CARGO_TARGET_DIR:-$root/target}/pgrx$PG log=$home/pgrx.log status=0 ok bad as_user=() path=$PATH
    step "#[pg_test]s through cargo-pgrx$([[ -d $folder ]] || echo ' (the first time takes minutes)')"
    if is_root; then
        test_pgrx_sudo
        path=$home/sudo:$PATH as_user=(--runas postgres)
    fi
    server_folder "$run"
    # The workaround would have everything built twice, for the tests and for the library, with different flags.
    PATH=$path USER=$(id -un) CARGO_TARGET_DIR=$folder PGRX_PG_CONFIG_PATH=$pg_config \
        CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1 \
        cargo pgrx test "pg$PG" --pgdata "$run/pgrx" "${as_user[@]}" >"$log" 2>&1 || status=$?
    extension_copy
    test_cargo_counts
    if ((ok == 0 && bad == 0)); then bad=1; fi
    ((bad == 0)) || tail -60 "$log" >&2
    test_count '#[pg_test]' "$ok" "$bad"
}

# cargo-pgrx and pgrx must be of one version.
test_pgrx_is_there() {
    local wanted found
    wanted=$(sed -nE 's/^pgrx = .*"=([0-9.]+)".*/\1/p' Cargo.toml)
    found=$(cargo pgrx --version 2>/dev/null | sed -nE 's/^cargo-pgrx ([0-9.]+).*/\1/p' || true)
    [[ $found != "$wanted" ]] || return 0
    say "#[pg_test]s skipped: cargo-pgrx $wanted is missing${found:+ (found: $found)}. To install it (minutes):
    cargo install --locked cargo-pgrx@$wanted"
    return 1
}

# As root, pgrx-tests runs the server as another user through sudo, which not every machine has. Here is what it asks
# of sudo. A library that a backend may have loaded is replaced, not overwritten.
test_pgrx_sudo() {
    mkdir -p "$home/sudo"
    cat >"$home/sudo/sudo" <<'SUDO'
#!/bin/sh
if [ "$1" = -u ]; then
    user=$2
    shift 2
    cd / && exec setpriv --reuid="$user" --regid="$user" --clear-groups -- env "$@"
fi
if [ "$1" = cp ]; then
    shift
    exec cp --remove-destination "$@"
fi
exec "$@"
SUDO
    chmod 755 "$home/sudo/sudo"
}
