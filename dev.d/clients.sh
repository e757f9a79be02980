# shellcheck shell=bash
# Clients of pgvector, as their authors publish them, against the alias extension: tests/clients, a folder for each set
# of packages. They are optional tooling: packages are installed under .dev/clients, and no test needs them.

dev_clients() {
    local folder folders=("$@") passed=0 failed=0
    ((${#folders[@]} > 0)) || folders=(python langchain llama_index node rust)
    for folder in "${folders[@]}"; do
        [[ -d tests/clients/$folder ]] || die "tests/clients has no folder '$folder'"
    done
    pg_prepare
    if pg_comes_in_wheel; then die "clients run where the alias is installed: PG=15 or 17"; fi
    extension_install_privately
    # Beside the clusters of ./dev up and ./dev bench.
    port=5434
    cluster_start clients listen_addresses=127.0.0.1
    for folder in "${folders[@]}"; do
        [[ -d tests/clients/$folder ]] || die "there is no folder tests/clients/$folder"
        step "installing the packages of $folder"
        "clients_$folder"
    done
    cluster_stop clients
    step "clients on PostgreSQL $PG: $passed passed, $failed failed"
    ((failed == 0 && passed > 0))
}

clients_python() { clients_of_python python; }
clients_langchain() { clients_of_python langchain; }
clients_llama_index() { clients_of_python llama_index; }

# clients_of_python FOLDER
clients_of_python() {
    local place=$dev/clients/$1 script
    [[ -x $place/bin/python ]] || python3 -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check --requirement "tests/clients/$1/requirements.txt"
    for script in "tests/clients/$1"/*.py; do
        # The others import it.
        [[ ${script##*/} =~ ^(vectors|letters)\.py$ ]] || clients_run "$script" env PYTHONDONTWRITEBYTECODE=1 "$place/bin/python" "$script"
    done
}

# Node looks for packages beside the script.
clients_node() {
    local place=$dev/clients/node script
    mkdir -p "$place"
    cp tests/clients/node/* "$place/"
    npm install --silent --no-audit --no-fund --prefix "$place"
    for script in tests/clients/node/*.js; do clients_run "$script" node "$place/${script##*/}"; done
}

clients_rust() {
    local manifest=tests/clients/rust/Cargo.toml place=$dev/clients/rust
    cargo build --quiet --locked --manifest-path "$manifest" --target-dir "$place"
    clients_run tests/clients/rust/src/main.rs "$place/debug/clients"
}

# clients_run NAME COMMAND...: in an empty database of its own.
clients_run() {
    local name=$1
    shift
    sql postgres -c 'DROP DATABASE IF EXISTS client' -c 'CREATE DATABASE client'
    if PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres PGDATABASE=client "$@" >"$home/client.log" 2>&1; then
        say "  ok      $name"
        passed=$((passed + 1))
    else
        say "  FAILED  $name"
        tail -40 "$home/client.log" >&2
        failed=$((failed + 1))
    fi
}
