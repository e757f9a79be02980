# shellcheck shell=bash
# A PostgreSQL with assertions, for `./dev test --cassert`, that also shows valgrind its memory contexts, for `--valgrind`. It is
# built from Debian's source package, once for each version of it, and kept with what belongs to the major. The library under
# test is the one of every other test: assertions change no structure that an extension sees.

# Puts this server in place of the private one, with omendb in it.
cassert_use() {
    local folder=$home/cassert version
    mkdir -p "$folder"
    cassert_fetch "$folder"
    version=$(basename "$folder"/postgresql-"$PG"_*.orig.tar.*)
    server=$folder/server bin=$folder/server/bin pg_config=$folder/server/bin/pg_config
    if [[ ! -f $server/version || $(<"$server/version") != "$version" ]]; then
        cassert_build "$folder"
        echo "$version" >"$server/version"
    fi
    extension_copy
    alias_copy
}

# Downloads the source package, by apt, with the system's own list of archives, those of newer Debians for a major that the system
# lacks, and apt's check of signatures. The newest version may be listed and gone: then the next one.
cassert_fetch() {
    local folder=$1 apt version
    ! compgen -G "$folder/postgresql-${PG}_*.orig.tar.*" >/dev/null || return 0
    step "fetching the source package of PostgreSQL $PG"
    mkdir -p "$folder"/apt/{lists/partial,parts}
    find /etc/apt/sources.list /etc/apt/sources.list.d -type f \( -name '*.sources' -o -name '*.list' \) \
        -exec cp -t "$folder/apt/parts" {} + 2>/dev/null || true
    sed -i -E 's/^(Types: *).*/\1deb-src/; s/^deb /deb-src /' "$folder"/apt/parts/*
    packages_offer "postgresql-$PG" || debian_archives deb-src trixie forky sid >"$folder/apt/parts/newer.list"
    apt=(-q -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$folder/apt/parts" -o "Dir::State::Lists=$folder/apt/lists"
        -o APT::Sandbox::User=root)
    apt-get "${apt[@]}" update >"$folder/fetch.log" 2>&1 || say "not every archive could be read: see $folder/fetch.log"
    while read -r version; do
        ! (cd "$folder" && apt-get "${apt[@]}" source --download-only "postgresql-$PG=$version") >>"$folder/fetch.log" 2>&1 || return 0
        rm -f "$folder"/postgresql-"$PG"_*
    done < <(apt-cache "${apt[@]}" showsrc "postgresql-$PG" 2>/dev/null | sed -n 's/^Version: //p' | sort -rVu)
    die "apt has no source package of PostgreSQL $PG that could be fetched: see $folder/fetch.log"
}

# --enable-cassert also clobbers freed memory, and checks memory contexts. USE_VALGRIND names each piece of a context to valgrind,
# and does nothing without it.
cassert_build() {
    local folder=$1 log=$1/build.log missing=()
    package_unless bzip2 command -v bzip2
    package_unless make command -v make
    package_unless bison command -v bison
    package_unless flex command -v flex
    package_unless zlib1g-dev test -e /usr/include/zlib.h
    package_unless valgrind test -e /usr/include/valgrind/valgrind.h
    package_unless libicu-dev test -e /usr/include/unicode/uchar.h
    ((${#missing[@]} == 0)) || { is_root && packages_install "${missing[@]}"; } || die "these packages are missing: ${missing[*]}"
    step "building PostgreSQL $PG with assertions (some 5 minutes of processor time; the log is $log)"
    rm -rf "$folder/server" "$folder/source"
    mkdir "$folder/source"
    tar -xf "$folder"/postgresql-"$PG"_*.orig.tar.* -C "$folder/source" --strip-components=1
    (
        cd "$folder/source"
        # A make above this one says how many processes there may be; its descriptors are not ours.
        unset MAKEFLAGS MAKELEVEL
        ./configure --quiet --prefix="$folder/server" --enable-cassert --enable-debug --enable-tap-tests --with-icu --without-readline CFLAGS='-O1 -g' \
            CPPFLAGS=-DUSE_VALGRIND && make -s -j"$(nproc)" world-bin && make -s install-world-bin &&
            cp src/tools/valgrind.supp "$folder/server"
    ) >"$log" 2>&1 || die "PostgreSQL $PG did not build: see $log"
    rm -rf "$folder/source"
}

# All tests that take a server, with --quick but for TAP. Then the short ones once more, with all caches of catalogs discarded
# whenever they may be.
test_cassert() {
    cassert_use
    test_stage
    regress_bin=$bin test_regress_only ''
    test_isolation
    [[ $quick ]] || test_tap
    [[ -z $name ]] || return 0
    echo 'debug_discard_caches = 1' >>"$stage/tests/pg_regress/server.conf"
    regress_bin=$bin test_regress_with '' "${cassert_short[@]}"
}
# Regress files that take half a minute each.
cassert_short=(scan_tiny type_vector)
