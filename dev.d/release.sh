# shellcheck shell=bash
# Parts of a release that are kept for ever: docs/releasing.md has the steps.

# Freezes the version: its SQL in sql/released, the bytes of indexes and the SQL that made them in tests/released/VERSION. Until
# CHANGELOG has its date, it may be frozen again.
dev_freeze() {
    no_arguments freeze "$@"
    local version
    version=$(extension_version)
    grep -q "^## $version (unreleased)" CHANGELOG.md ||
        die "CHANGELOG.md has no heading '$version (unreleased)': what was frozen of a release does not change any more"
    pg_prepare
    freeze_indexes
    mkdir -p sql/released
    cp sql/omendb.sql "sql/released/omendb--$version.sql"
    say "sql/released/omendb--$version.sql: $(grep -c '^CREATE' sql/omendb.sql) objects"
}

freeze_indexes() {
    local folder=tests/released/$version modules made long=''
    modules=$(perl_modules)
    [[ $modules ]] || die "PostgreSQL's Perl modules are missing (Debian: postgresql-server-dev-15)"
    extension_install_privately
    test_stage
    made=$stage/frozen
    server_folder "$made"
    OMENDB_FROZEN=$made test_prove "$modules" "$stage/tests/released/save.pl" >&2 || die "the indexes were not made"
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tests/released/make.sql "$folder/"
    install -m 644 "$made"/*.gz "$folder/"
    say "$folder: $(find "$folder" -name '*.gz' | wc -l) indexes, $(du -sk --apparent-size "$folder" | cut -f1) kB"
}
