# shellcheck shell=bash
# Parts of a release that are kept for ever: docs/releasing.md has the steps.

# Makes tests/released/VERSION: the bytes of indexes, and the SQL that made them.
dev_fixture() {
    no_arguments fixture "$@"
    local version folder modules made long=''
    version=$(extension_version)
    [[ ! -e sql/released/omendb--$version.sql ]] ||
        die "$version was released (sql/released/omendb--$version.sql): its fixture does not change any more"
    pg_prepare
    modules=$(perl_modules)
    [[ $modules ]] || die "PostgreSQL's Perl modules are missing (Debian: postgresql-server-dev-15)"
    extension_install_privately
    test_stage
    made=$stage/fixture
    server_folder "$made"
    OMENDB_FIXTURE=$made test_prove "$modules" "$stage/tests/released/save.pl" >&2 || die "the fixture was not made"
    folder=tests/released/$version
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tests/released/make.sql "$folder/"
    install -m 644 "$made"/*.gz "$folder/"
    say "$folder: $(find "$folder" -name '*.gz' | wc -l) indexes, $(du -sk --apparent-size "$folder" | cut -f1) kB"
}
