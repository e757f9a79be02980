# shellcheck shell=bash
# Packages of a newer Debian, unpacked into a folder. Their programs need a newer C library than the machine may have, so
# they are changed to start with the one that lies beside them. It takes neither root nor space outside the folder.

# Packages that others depend on but a server and its headers do not need. Postgres goes without its compiler of queries.
debian_left_out=(clang-{14..23} debconf libc-bin libllvm{14..23} libpq-dev llvm-{14..23}-dev locales-all perl perl-base
    postgresql-client-common postgresql-common sensible-utils ssl-cert tzdata)

# debian_unpack FOLDER ARCHITECTURE SUITES PACKAGE...: packages and what they depend on, as PACKAGE or PACKAGE/SUITE.
# SUITES are separated by commas; their order does not matter. FOLDER/DEBIAN/symbols will list the symbols of the libraries.
debian_unpack() {
    local folder=$1 architecture=$2 suites=$3 apt=$dev/debian-apt package
    shift 3
    debian_apt_configure
    debian_apt update
    debian_apt install --download-only --yes --no-install-recommends "$@"
    mkdir -p "$folder/DEBIAN"
    for package in "$apt"/archives/*.deb; do
        dpkg-deb --extract "$package" "$folder"
        dpkg-deb --info "$package" symbols 2>/dev/null >>"$folder/DEBIAN/symbols" || true
    done
    rm -rf "$apt"
}

# An apt with folders of its own, to which nothing is installed but what is left out. Signatures are checked as ever.
debian_apt_configure() {
    local package suites_list
    IFS=, read -ra suites_list <<<"$suites"
    rm -rf "$apt"
    mkdir -p "$apt"/{lists,archives}/partial
    debian_archives deb "${suites_list[@]}" >"$apt/sources.list"
    for package in "${debian_left_out[@]}"; do
        printf 'Package: %s\nStatus: install ok installed\nVersion: 9:9\nArchitecture: %s\nMulti-Arch: foreign\nMaintainer: none\nDescription: none\n\n' \
            "$package" "$architecture"
    done >"$apt/status"
    cat >"$apt/conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$apt/lists";
Dir::State::Status "$apt/status";
Dir::State::Extended_States "$apt/extended";
Dir::Cache "$apt";
Dir::Cache::Archives "$apt/archives";
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Debug::NoLocking "true";
CONF
}

debian_apt() {
    APT_CONFIG=$apt/conf apt-get -q "$@" >"$dev/apt.log" 2>&1 || die "apt-get $1 failed: $(tail -5 "$dev/apt.log")"
}

# debian_archives TYPE SUITE...: lines that name Debian's archives, of packages (deb) or sources (deb-src).
debian_archives() {
    local type=$1 mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg suite
    shift
    mirror=$(debian_mirror)
    [[ $mirror && -e $keys ]] || die "packages of Debian ($*) are needed, and this machine's apt knows no mirror of Debian"
    for suite; do echo "$type [signed-by=$keys] $mirror $suite main"; done
}

# The mirror that the machine's own apt uses.
debian_mirror() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016 # apt replaces it
    apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 'Created-By: Packages' 2>/dev/null | sed -n 1p
}

# debian_relink FOLDER FINAL: lets the programs of PostgreSQL in FOLDER, which will be moved to FINAL, start with the C library
# there. Copies of the folder go on with that one.
debian_relink() {
    local libraries loader file
    libraries=lib/$(uname -m)-linux-gnu
    loader=$(cd "$1/$libraries" && compgen -G 'ld-linux-*')
    while read -r file; do
        patchelf --print-interpreter "$file" >/dev/null 2>&1 || continue
        patchelf --set-interpreter "$2/$libraries/$loader" --force-rpath --set-rpath "$2/$libraries" "$file" || die "patchelf failed"
    done < <(find "$1/lib/postgresql" -type f -perm -u+x)
}
