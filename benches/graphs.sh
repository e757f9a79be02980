# shellcheck shell=bash
# `SELECT id ... WHERE column = value ORDER BY distance LIMIT 10` with a graph for each value of the column, beside the same index
# without such graphs and a query without a condition: recall@10, codes compared, milliseconds a query, size, and seconds of the build.

# shellcheck source=/dev/null
source benches/filtered.sh

# Column, condition.
graphs_conditions=(
    'half half = 1' 'tenth tenth = 1' 'hundredth hundredth = 1' 'thousandth thousandth = 1'
    'cell cell = q.own' 'cell cell = q.far' 'tenth tenth = 1 AND half = 1'
)

bench_graphs() {
    local class condition column built=''
    if [[ $1 != omendb ]]; then return 0; fi
    class=$(bench_operator_class "$2")
    filtered_tables "$1" "$2"
    filtered_build "$1" "$2" ', no graphs' "embedding $class, $filtered_columns"
    graphs_measure "$1" "$2" 'no condition' true
    for condition in "${graphs_conditions[@]}"; do
        graphs_measure "$1" "$2" "no graphs, ${condition#* }" "${condition#* }"
    done
    for condition in "${graphs_conditions[@]}"; do
        column=${condition%% *}
        if [[ $column != "$built" ]]; then
            filtered_build "$1" "$2" ", graphs of $column" "embedding $class, $filtered_columns" "WITH (graphs = $column)"
            graphs_measure "$1" "$2" "graphs of $column, no condition" true
            built=$column
        fi
        graphs_measure "$1" "$2" "graphs of $column, ${condition#* }" "${condition#* }"
    done
}

# graphs_measure ENGINE SET NAME CONDITION
graphs_measure() {
    local through='SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off'
    filtered_functions "$1" "$2" "$4"
    bench_result "graphs $2" "$3: recall@10" "$1" "$(sql "$1" -c "$through" -c 'SELECT round(filtered_recall(), 4)')" ''
    bench_result "graphs $2" "$3: codes compared" "$1" "$(sql "$1" -c "$through" -c 'SELECT round(filtered_evaluations())')" ''
    bench_result "graphs $2" "$3: a query" "$1" "$(sql "$1" -c "$through" -c 'SELECT round(filtered_milliseconds(), 3)')" ms
}
