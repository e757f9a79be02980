# shellcheck shell=bash
# A progress bar for CREATE INDEX, fed from a second connection by pg_stat_progress_create_index.

# progress_watch DATABASE PID: a bar per phase until the process PID, which runs CREATE INDEX, ends.
progress_watch() {
    local phase='' now='' done_ total
    coproc progress { sql "$1" 2>/dev/null; }
    local ask=${progress[1]} answer=${progress[0]} pid=$progress_PID
    while kill -0 "$2" 2>/dev/null; do
        echo "SELECT concat_ws('|', phase, tuples_done, tuples_total) FROM (SELECT) AS always
                LEFT JOIN pg_stat_progress_create_index ON datname = current_database();" >&"$ask" || break
        IFS='|' read -r -t 5 -u "$answer" now done_ total || break
        [[ $now ]] || now=$phase
        if [[ $phase && $now != "$phase" ]]; then progress_bar "$phase" 1 1 $'\n'; fi
        phase=$now
        progress_draw
        sleep 0.05
    done
    kill "$pid" 2>/dev/null || true
    progress_bar "${phase:-building index}" 1 1 $'\n'
}

# Only a terminal can draw over a line.
progress_draw() {
    [[ -t 1 && $phase && ${total:-0} -gt 0 ]] || return 0
    progress_bar "$phase" "$done_" "$total" $'\r'
}

# progress_bar LABEL DONE TOTAL END
progress_bar() {
    local width=30 filled bar
    filled=$(($2 * width / $3))
    ((filled <= width)) || filled=$width
    printf -v bar '%*s' "$filled" ''
    printf '  [%-*s] %3d %%  %-34s%s' "$width" "${bar// /#}" $(($2 * 100 / $3)) "$1" "$4"
}
