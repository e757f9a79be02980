# shellcheck shell=bash
# omendb by pgvector's name: an extension `vector` with the same objects, for clients that create that one and for
# databases that have it. Its library vector.so is a link to omendb.so, which answers to the C functions of both.

# The alias's version for each version of omendb. Three numbers, since clients take a version apart, and of pgvector 0.8, whose objects
# the alias has. No version of pgvector is named so, and each can be updated to the newest one.
declare -A alias_of=([0.1.0]=0.8.90)
# An update passes through this version: a database that has all objects of pgvector 0.8, as yet pgvector's.
alias_gathered=0.8.89
# Versions of pgvector that can be updated, those to come included.
alias_from=(0.7.{0..4} 0.8.{0..29} 0.9.{0..9})

# Ends the command if files of pgvector would be replaced and $force does not say so.
alias_check() {
    local replaced
    [[ -z ${DESTDIR:-} ]] || return 0
    replaced=$(alias_replaced)
    [[ $replaced ]] || return 0
    if [[ $force ]]; then
        say "replacing files of pgvector:"$'\n'"$replaced"
        return
    fi
    die "pgvector is installed in this PostgreSQL. With --force these files would be replaced, and every database
with extension vector would continue with omendb (docs/migrating.md):
$replaced"
}

# The files of pgvector that the alias would replace, a line each.
alias_replaced() {
    local libraries extensions file
    libraries=$("$pg_config" --pkglibdir)
    extensions=$("$pg_config" --sharedir)/extension
    if [[ -e $libraries/vector.so && $(readlink "$libraries/vector.so") != omendb.so ]]; then
        echo "    $libraries/vector.so"
    fi
    while read -r file; do
        if [[ -e $extensions/$file ]] && ! grep -q omendb "$extensions/$file"; then echo "    $extensions/$file"; fi
    done < <(alias_files)
}

alias_files() {
    local from
    echo vector.control
    echo "vector--$alias_version.sql"
    echo "vector--$alias_gathered--$alias_version.sql"
    for from in "${alias_from[@]}"; do echo "vector--$from--$alias_gathered.sql"; done
    alias_upgrades | cut -d ' ' -f 2
}

# The update scripts of omendb, and their names as the alias's: a line each.
alias_upgrades() {
    local upgrade
    for upgrade in sql/omendb--*--*.sql; do
        if [[ -e $upgrade && $upgrade =~ --(.+)--(.+)\.sql$ ]]; then
            echo "$upgrade vector--${alias_of[${BASH_REMATCH[1]}]}--${alias_of[${BASH_REMATCH[2]}]}.sql"
        fi
    done
}

alias_copy() { alias_place "${DESTDIR:-}$("$pg_config" --pkglibdir)" "${DESTDIR:-}$("$pg_config" --sharedir)/extension"; }

# alias_place LIBRARIES EXTENSIONS: puts the files and the link into these folders.
alias_place() {
    local file
    while read -r file; do
        place "$alias/$file" "$2/$file" 644
    done < <(alias_files)
    ln -sfn omendb.so "$1/vector.so.new"
    mv -f "$1/vector.so.new" "$1/vector.so"
}

# The commands that do the same.
alias_commands() {
    echo "    sudo install -m 644 $alias/vector* $2/"
    echo "    sudo ln -sfn omendb.so $1/vector.so"
}

# Writes the files, made from those of omendb, to the folder $alias.
alias_write() {
    local from upgrade name
    alias_version=${alias_of[$(extension_version)]}
    alias=$target/alias
    rm -rf "$alias"
    mkdir -p "$alias"
    sed -E "s/^(comment *= *').*/\1omendb by the name of pgvector: vector types and a fast hnsw index'/
        s/^(default_version *= *').*/\1$alias_version'/" omendb.control >"$alias/vector.control"
    sed 's/"CREATE EXTENSION omendb"/"CREATE EXTENSION vector"/' sql/omendb.sql >"$alias/vector--$alias_version.sql"
    alias_update >"$alias/vector--$alias_gathered--$alias_version.sql"
    for from in "${alias_from[@]}"; do alias_gather "$from" >"$alias/vector--$from--$alias_gathered.sql"; done
    while read -r upgrade name; do
        {
            echo "-- The update script of omendb."
            sed 's/"ALTER EXTENSION omendb UPDATE"/"ALTER EXTENSION vector UPDATE"/' "$upgrade"
        } >"$alias/$name"
    done < <(alias_upgrades)
}

# The script that adds what pgvector FROM lacks of 0.8: arrays become sparsevec from there on.
alias_gather() {
    echo "-- pgvector $1, on its way to omendb."
    if [[ $1 == 0.7.* ]]; then
        printf '%s\n\n' '\echo Use "ALTER EXTENSION vector UPDATE" to load this file. \quit'
        awk -v RS= -v ORS='\n\n' '/CREATE FUNCTION array_to_sparsevec\(/ || /CREATE CAST \(.*\[\] AS sparsevec\)/' sql/omendb.sql
    fi
}

# The script that makes pgvector's objects omendb's: functions are replaced or added, and what omendb has besides is
# added. Types, operators, casts, aggregates and operator classes of pgvector are what they were.
alias_update() {
    echo "-- Objects of pgvector become omendb's."
    printf '%s\n\n' '\echo Use "ALTER EXTENSION vector UPDATE" to load this file. \quit'
    awk -v RS= -v ORS='\n\n' '
        sub(/(^|\n)CREATE FUNCTION/, "\nCREATE OR REPLACE FUNCTION") { sub(/^\n/, ""); print }
        /(^|\n)CREATE VIEW / { print }
        /(^|\n)(CREATE|ALTER) OPERATOR (@<= \(|CLASS.* USING (hash|hnsw FAMILY) |FAMILY .* USING hnsw)/ { print }' sql/omendb.sql
    cat sql/vector_update.sql
}
