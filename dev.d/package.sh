# shellcheck shell=bash
# Debian packages of omendb, after the conventions of PostgreSQL's own archive: postgresql-NN-omendb has the extension,
# postgresql-NN-omendb-vector its alias `vector`, postgresql-NN-omendb-dbgsym the debug symbols. An rpm where rpmbuild is installed.

# The revision of the packaging, raised when only it changes.
package_revision=1

dev_package() {
    local check='' reproduce='' cross='' architecture majors='15 16 17 18' major
    architecture=$(dpkg --print-architecture)
    package_read_options "$@"
    package_tools_ensure
    if [[ ${PG_CONFIG:-} ]]; then
        (($# == 0)) || die "package $1 goes with PG, not with PG_CONFIG"
        install_locate
        build_config=$pg_config
        extension_build "install-pg$PG"
        package_all
        return
    fi
    for major in ${PG:-$majors}; do
        # Not followed by ||, which would have the subshell go on after errors.
        (
            PG=$major
            package_major
        )
    done
}

package_read_options() {
    while (($# > 0)); do
        case $1 in
            --check) check=yes ;;
            --reproduce) reproduce=yes ;;
            --arch)
                package_cross "${2:-}"
                shift
                ;;
            *) die "package knows --check, --reproduce and --arch, not '$1'" ;;
        esac
        shift
    done
    [[ ! $check || ! $cross ]] || die "package --check runs the library: for arm64 ./dev test --aarch64 does"
}

# package_cross ARCHITECTURE: packages for it, also where that is not the machine's own.
package_cross() {
    [[ $1 != "$architecture" ]] || return 0
    [[ $1 == arm64 ]] || die "package --arch knows $architecture and arm64, not '$1'"
    architecture=arm64 cross=aarch64-linux-gnu- majors='15 17'
}

package_tools_ensure() {
    if command -v dpkg-shlibdeps >/dev/null && command -v readelf >/dev/null; then return; fi
    is_root || die "dpkg-shlibdeps or readelf is missing. Install them, then run this again:
    sudo apt-get install -y --no-install-recommends dpkg-dev binutils"
    dev_dir_choose
    packages_install dpkg-dev binutils
}

package_major() {
    pg_prepare
    if [[ $cross ]]; then
        aarch64_ensure
        aarch64_use
    fi
    extension_build "pg$PG${cross:+-$architecture}"
    package_all
    if [[ $check ]]; then package_check; fi
    if [[ $reproduce ]]; then package_reproduce; fi
}

# The packages of what was built in $target.
package_all() {
    SOURCE_DATE_EPOCH=$(package_date)
    export SOURCE_DATE_EPOCH
    package=postgresql-$PG-omendb
    version=$(extension_version)-$package_revision
    packages=${OMENDB_PACKAGES:-$root/target/packages}
    work=$target/package
    rm -rf "$work"
    mkdir -p "$packages" "$work"
    package_stage
    package_library
    package_alias
    package_symbols
    if command -v rpmbuild >/dev/null; then package_rpm; fi
}

# Seconds since 1970 of the newest commit, or of the newest file where there is no history: the time of every packed file.
package_date() {
    if [[ ${SOURCE_DATE_EPOCH:-} ]]; then
        echo "$SOURCE_DATE_EPOCH"
        return
    fi
    git log -1 --format=%ct 2>/dev/null || find Cargo.toml crates src sql -type f -printf '%T@\n' | sort -n | tail -1 | cut -d. -f1
}

# The trees that the packages hold, with the library stripped and its symbols beside it.
package_stage() {
    local libraries=usr/lib/postgresql/$PG/lib extensions=usr/share/postgresql/$PG/extension id
    umask 022
    mkdir -p "$work/main/$libraries" "$work/main/$extensions"
    extension_place "$work/main/$libraries" "$work/main/$extensions"
    alias_write
    mkdir -p "$work/vector/$libraries" "$work/vector/$extensions"
    alias_place "$work/vector/$libraries" "$work/vector/$extensions"
    local library=$work/main/$libraries/omendb.so
    id=$("${cross}readelf" --notes "$library" | sed -nE 's/^ *Build ID: ([0-9a-f]+)$/\1/p')
    [[ $id ]] || die "$library has no build id"
    symbols=usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug
    mkdir -p "$work/dbgsym/${symbols%/*}"
    "${cross}objcopy" --only-keep-debug --compress-debug-sections "$library" "$work/dbgsym/$symbols"
    chmod 644 "$work/dbgsym/$symbols"
    "${cross}strip" --strip-unneeded --remove-section=.comment "$library"
    chmod 644 "$library"
    tests/symbols.sh "$library" >&2 || die "$library is not fit for a package"
    ! grep -qF "$root" "$library" || die "$library names $root"
}

package_library() {
    package_documents main "$package"
    package_write main "$package" "Section: database
Depends: postgresql-$PG, $(package_needs)
Description: vector types and an hnsw index for PostgreSQL $PG
 The types vector, halfvec and sparsevec, distances of bit, and an hnsw index
 access method that stores 4-bit codes and reranks rows by exact distance.
 Statements written for pgvector work unchanged."
}

package_alias() {
    package_documents vector "$package-vector"
    package_write vector "$package-vector" "Section: database
Depends: $package (= $version)
Provides: postgresql-$PG-pgvector
Conflicts: postgresql-$PG-pgvector
Replaces: postgresql-$PG-pgvector
Description: omendb under the extension name of pgvector
 CREATE EXTENSION vector creates the objects of omendb. Dumps and databases of
 pgvector, and clients that create its extension, work unchanged."
}

package_symbols() {
    mkdir -p "$work/dbgsym/usr/share/doc"
    ln -s "$package" "$work/dbgsym/usr/share/doc/$package-dbgsym"
    local id=${symbols#usr/lib/debug/.build-id/}
    id=${id%.debug}
    package_write dbgsym "$package-dbgsym" "Section: debug
Auto-Built-Package: debug-symbols
Build-Ids: ${id/\//}
Depends: $package (= $version)
Description: debug symbols for $package"
}

# The libraries that the extension is linked with, as packages: libc6 (>= 2.34), libgcc-s1 (>= 4.2).
package_needs() {
    mkdir -p "$work/debian"
    printf 'Source: omendb\n\nPackage: %s\nArchitecture: any\n' "$package" >"$work/debian/control"
    (cd "$work" && DEB_HOST_ARCH=$architecture dpkg-shlibdeps --warnings=0 ${cross:+-S"$home/arm64"} -O -e "main/usr/lib/postgresql/$PG/lib/omendb.so") |
        sed -nE 's/^shlibs:Depends=//p'
}

# Licences and the changelog, which every package has.
package_documents() {
    local folder=$work/$1/usr/share/doc/$2
    mkdir -p "$folder"
    {
        printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
        printf 'Upstream-Name: omendb\n\nFiles: *\nCopyright: 2026, the omendb authors\nLicense: PostgreSQL\n'
        sed -E '1,2d; s/^$/./; s/^/ /' LICENSE
    } >"$folder/copyright"
    printf 'omendb (%s) stable; urgency=medium\n\n  * See CHANGELOG of the source for the changes of this version.\n\n -- the omendb authors <%s>  %s\n' \
        "$version" "$(package_maintainer)" "$(LC_ALL=C date --utc --date="@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')" |
        gzip -9n >"$folder/changelog.Debian.gz"
    gzip -9nc CHANGELOG.md >"$folder/changelog.gz"
}

# Whoever distributes packages names an address in DEBEMAIL, as for Debian's own tools.
package_maintainer() { echo "${DEBEMAIL:-omendb@localhost.localdomain}"; }

# package_write TREE NAME FIELDS: the package of a tree; the fields come after those that all packages have.
package_write() {
    local tree=$work/$1 file
    file=$packages/$2_${version}_$architecture.deb
    mkdir -p "$tree/DEBIAN"
    (cd "$tree" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k 2) >"$tree/DEBIAN/md5sums"
    {
        printf 'Package: %s\nSource: omendb\nVersion: %s\nArchitecture: %s\n' "$2" "$version" "$architecture"
        printf 'Maintainer: the omendb authors <%s>\n' "$(package_maintainer)"
        printf 'Installed-Size: %s\nPriority: optional\n%s\n' "$(du -sk --apparent-size "$tree/usr" | cut -f1)" "$3"
    } >"$tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Zxz --build "$tree" "$file" >/dev/null || die "dpkg-deb failed"
    say "$(du -k --apparent-size "$file" | cut -f1) kB  $file"
}

# The same files for PostgreSQL's yum archive, which keeps a server under /usr/pgsql-NN.
package_rpm() {
    local tree=$work/rpm spec=$work/omendb.spec prefix=usr/pgsql-$PG machine=${cross:+aarch64}
    machine=${machine:-$(uname -m)}
    mkdir -p "$tree/$prefix/lib" "$tree/$prefix/share/extension"
    cp -p "$work/main/usr/lib/postgresql/$PG/lib/omendb.so" "$tree/$prefix/lib/"
    cp -p "$work/main/usr/share/postgresql/$PG/extension/"* "$tree/$prefix/share/extension/"
    cat >"$spec" <<SPEC
Name: omendb_$PG
Version: $(extension_version)
Release: $package_revision
Summary: Vector types and an hnsw index for PostgreSQL $PG
License: PostgreSQL
Requires: postgresql$PG-server
AutoReq: yes
%define _build_id_links none
%define __strip /bin/true
%define _buildhost localhost
%define use_source_date_epoch_as_buildtime 1
%define clamp_mtime_to_source_date_epoch 1
%description
The types vector, halfvec and sparsevec, distances of bit, and an hnsw index
access method that stores 4-bit codes and reranks rows by exact distance.
%files
%defattr(-, root, root)
/$prefix/lib/omendb.so
/$prefix/share/extension/omendb*
SPEC
    rpmbuild -bb --quiet --target "$machine" --define "_topdir $work/rpmbuild" --define "_rpmdir $packages" \
        --define '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' --buildroot "$tree" "$spec" >"$work/rpm.log" 2>&1 ||
        die "rpmbuild failed: $(tail -5 "$work/rpm.log")"
    say "$packages/omendb_$PG-$(extension_version)-$package_revision.$machine.rpm"
}

# Installs the packages into a root of their own, beside a copy of PostgreSQL, searches there, and removes them again.
package_check() {
    local scratch=$home/package-check before after
    pg_comes_in_wheel && die "package --check needs the system's PostgreSQL: PG=15"
    rm -rf "$scratch"
    server_folder "$scratch"
    mkdir -p "$scratch"/usr/{lib,share}/postgresql "$scratch"/var/lib/dpkg/{info,updates}
    touch "$scratch/var/lib/dpkg/status"
    cp -aL "/usr/lib/postgresql/$PG" "$scratch/usr/lib/postgresql/"
    cp -aL "/usr/share/postgresql/$PG" "$scratch/usr/share/postgresql/"
    before=$(package_check_files)
    step "installing the packages into a root of their own"
    package_check_dpkg --install "$packages/${package}_${version}_$architecture.deb" "$packages/$package-vector_${version}_$architecture.deb"
    package_check_search
    package_check_dpkg --purge "$package-vector" "$package"
    after=$(package_check_files)
    [[ $before == "$after" ]] || die "removing the packages left files: $(diff <(echo "$before") <(echo "$after"))"
    package_check_destdir
    package_check_lint
    rm -rf "$scratch"
    package_check_again
    say "packages: installed, searched, removed and packed again"
}

package_check_files() { (cd "$scratch" && find usr | LC_ALL=C sort); }

package_check_dpkg() {
    dpkg --root="$scratch" --force-depends --force-not-root "$@" >"$work/dpkg.log" 2>&1 || die "dpkg failed: $(<"$work/dpkg.log")"
}

# A server from the scratch root, where each of the two extensions answers the demo's searches.
package_check_search() {
    local bin=$scratch/usr/lib/postgresql/$PG/bin server=$scratch/usr home=$scratch run=$scratch/run recall
    ((${#run} < 80)) || run=/tmp/omendb-package-$(path_hash)
    cp -R demo "$scratch/demo"
    chmod -R a+rX "$scratch/demo"
    cluster_start check
    sql postgres -c 'CREATE EXTENSION omendb' -c 'CREATE DATABASE alias'
    sql postgres -v demo="$scratch/demo" -f "$scratch/demo/load.sql" -f "$scratch/demo/measure.sql" \
        -c 'CREATE INDEX ON wordnet USING hnsw (embedding vector_cosine_ops)'
    recall=$(sql postgres -c 'SELECT recall()')
    sql alias -c 'CREATE EXTENSION vector' -c "SELECT '[1,2,3]'::vector <-> '[1,2,4]'" >/dev/null
    cluster_stop check
    awk -v recall="$recall" 'BEGIN { exit !(recall >= 0.95) }' || die "recall with the installed package is $recall"
}

# DESTDIR, for packagers who stage by themselves: the files of the packages and no others.
package_check_destdir() {
    local staged=$scratch/staged
    env -u SOURCE_DATE_EPOCH DESTDIR="$staged" PG_CONFIG="/usr/lib/postgresql/$PG/bin/pg_config" ./dev install --as-pgvector >"$work/install.log" 2>&1 ||
        die "./dev install with DESTDIR failed: $(tail -5 "$work/install.log")"
    diff <(package_check_extension "$staged") <(package_check_extension "$work/main" "$work/vector") >&2 ||
        die "./dev install with DESTDIR does not place the files of the packages"
}

# The files of trees, without what only a package has.
package_check_extension() {
    local tree
    for tree in "$@"; do (cd "$tree" && find . \( -type f -o -type l \) -not -path './DEBIAN/*' -not -path './usr/share/doc/*'); done | LC_ALL=C sort
}

# The same bytes from packing twice.
package_check_again() {
    local first=$packages
    (
        OMENDB_PACKAGES=$home/package-again
        rm -rf "$OMENDB_PACKAGES"
        package_all
        package_same "$first" "$OMENDB_PACKAGES"
    )
    rm -rf "$home/package-again"
}

# package_same FOLDER AGAIN: every file of AGAIN is in FOLDER with the same bytes.
package_same() {
    local file
    compgen -G "$2/*" >/dev/null || die "there are no packages in $2"
    for file in "$2"/*; do cmp "$1/${file##*/}" "$file" || die "${file##*/} differs when it is made again"; done
}

# The same bytes from a build of a copy of the sources in another folder.
package_reproduce() {
    local copy=$dev/reproduce
    rm -rf "$copy"
    mkdir -p "$copy/sources"
    step "building once more, from a copy of the sources in $copy"
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$copy/sources"
    (cd "$copy/sources" && env SOURCE_DATE_EPOCH="$(package_date)" OMENDB_DEV_DIR="$dev" OMENDB_PACKAGES="$copy/packages" CARGO_TARGET_DIR="$copy/target" PG="$PG" ./dev package ${cross:+--arch "$architecture"})
    package_same "$packages" "$copy/packages"
    rm -rf "$copy"
    say "packages: the same bytes from two builds"
}

# The placeholder for a maintainer is the only error that lintian may find.
package_check_lint() {
    if command -v lintian >/dev/null; then
        lintian --allow-root --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog \
            "$packages/$package"*_"$version"_"$architecture".deb >"$work/lintian.log" 2>&1 || die "lintian: $(<"$work/lintian.log")"
    else
        say "lintian is not installed: the packages were not linted"
    fi
}
