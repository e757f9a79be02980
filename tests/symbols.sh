#!/usr/bin/env bash
# Whether the SQL and the library agree: every symbol that the SQL names exists, and every function that the library
# exports for SQL is declared. So are the symbols that pgvector's SQL names, listed in pgvector.symbols.
#
#   tests/symbols.sh LIBRARY [SQL-FILE]
set -euo pipefail

library=$1
sql=${2:-$(dirname "${BASH_SOURCE[0]}")/../sql/omendb.sql}

# A C function is a symbol and a record about it, pg_finfo_SYMBOL.
exported=$(nm --dynamic --defined-only "$library" | awk '$2 == "T" && sub(/^pg_finfo_/, "", $3) { print $3 }' | sort -u)
pgvectors=$(dirname "${BASH_SOURCE[0]}")/pgvector.symbols
declared=$(sed -nE "s/.*AS 'MODULE_PATHNAME', '([^']+)'.*/\1/p" "$sql" | sort -u - "$pgvectors")
unnamed=$(grep -nE "'MODULE_PATHNAME'" "$sql" | grep -vE "AS 'MODULE_PATHNAME', '[^']+'" || true)

[[ $exported && $declared ]] || { echo "found no functions in $library or $sql" >&2; exit 1; }

missing=$(comm -13 <(echo "$exported") <(echo "$declared"))
forgotten=$(comm -23 <(echo "$exported") <(echo "$declared"))
for symbol in $missing; do echo "$sql names $symbol, which $library does not have" >&2; done
for symbol in $forgotten; do echo "$library exports $symbol, which $sql does not declare" >&2; done
[[ -z $unnamed ]] || echo "no symbol is named in $sql: $unnamed" >&2
[[ -z $missing && -z $forgotten && -z $unnamed ]] || exit 1
echo "$(wc -l <<<"$declared") symbols: all declared, all there"
