# shellcheck shell=bash
# Private clusters of the chosen major: `up` keeps one called main, benches and shards have their own.

dev_up() {
    local fresh=''
    case ${1:-} in
        --fresh) fresh=yes ;;
        '') ;;
        *) die "up knows --fresh, not '$1'" ;;
    esac
    pg_prepare
    extension_install_privately
    if [[ $fresh ]]; then
        cluster_stop main
        rm -rf "$home/main"
    fi
    cluster_start main
    extension_create
    say "omendb is ready in PostgreSQL $PG. ./dev psql opens it, ./dev down stops it."
    conninfo
}

dev_down() {
    no_arguments down "$@"
    dev_dir_choose
    local found='' major folder name
    for major in ${PG:-15 16 17 18 19}; do
        [[ -d $dev/pg$major ]] || continue
        PG=$major
        pg_locate
        for folder in "$home"/*/PG_VERSION; do
            name=$(basename "$(dirname "$folder")")
            if cluster_running "$name"; then
                cluster_stop "$name"
                found=yes
                say "stopped PostgreSQL $PG ($name)"
            fi
        done
    done
    if [[ ! $found ]]; then say "no private server was running"; fi
}

dev_psql() {
    pg_locate
    cluster_running main || die "no private PostgreSQL $PG is running: ./dev up starts it, ./dev demo fills one"
    run_psql postgres "$@"
}

conninfo() { echo "host=$run port=$port user=postgres dbname=postgres"; }

# psql in the running cluster: the first argument is the database unless a later -d names another.
run_psql() {
    local database=$1
    shift
    PGHOST=$run PGPORT=$port PGUSER=postgres PGDATABASE=$database "$bin/psql" "$@"
}

# One statement or script for the scripts' own use: plain output, the first error stops it.
sql() {
    local database=$1
    shift
    PGOPTIONS='-c client_min_messages=warning' run_psql "$database" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

cluster_running() { as_server "$bin/pg_ctl" status -D "$home/$1" >/dev/null 2>&1; }

# cluster_start NAME [SETTING=VALUE...]: starts it, or leaves it when it already runs.
cluster_start() {
    local name=$1 options="-c listen_addresses='' -c unix_socket_directories='$run' -c port=$port" setting
    shift
    cluster_running "$name" && return
    [[ -d $home/$name ]] || cluster_create "$name"
    server_folder "$run"
    for setting in "$@"; do options+=" -c $setting"; done
    step "starting PostgreSQL $PG ($name)"
    as_server "$bin/pg_ctl" start -w -s -D "$home/$name" -l "$home/$name/server.log" -o "$options" ||
        die "the server did not start; its last words: $(tail -5 "$home/$name/server.log")"
}

cluster_create() {
    step "creating a cluster in $home/$1"
    server_folder "$home/$1"
    as_server "$bin/initdb" -D "$home/$1" -U postgres -A trust --no-sync --locale=C.UTF-8 -E UTF8 >/dev/null ||
        die "initdb failed"
}

cluster_stop() {
    if cluster_running "$1"; then as_server "$bin/pg_ctl" stop -w -s -m fast -D "$home/$1"; fi
}
