#!/usr/bin/env bash
# Tests that the SQL and the library agree: every symbol that the SQL names exists, and every function that the library
# exports for SQL is declared. So are the symbols that pgvector's SQL names, listed in pgvector.symbols. Beside functions and
# their records the library exports only what Postgres looks for when it loads one, and the function of a build's parallel
# workers. It runs with the glibc of older systems.
#
#   tests/symbols.sh LIBRARY [SQL-FILE]
set -euo pipefail

# Debian 12 has 2.36, RHEL 9 and Amazon Linux 2023 have 2.34.
newest_glibc=2.34

library=$1
sql=${2:-$(dirname "${BASH_SOURCE[0]}")/../sql/omendb.sql}

# A C function is a symbol and a record about it, pg_finfo_SYMBOL.
symbols=$(nm --dynamic --defined-only "$library" | awk '{ print $3 }' | sort -u)
exported=$(sed -nE 's/^pg_finfo_//p' <<<"$symbols" | sort -u)
known=$(awk '{ print; print "pg_finfo_" $1 }' <<<"$exported")
others=$(comm -23 <(echo "$symbols") <(printf '%s\n' Pg_magic_func _PG_init omendb_read_rows "$known" | sort -u))
pgvectors=$(dirname "${BASH_SOURCE[0]}")/pgvector.symbols
declared=$(sed -nE "s/.*AS 'MODULE_PATHNAME', '([^']+)'.*/\1/p" "$sql" | sort -u - "$pgvectors")
unnamed=$(grep -nE "'MODULE_PATHNAME'" "$sql" | grep -vE "AS 'MODULE_PATHNAME', '[^']+'" || true)

[[ $exported && $declared ]] || { echo "found no functions in $library or $sql" >&2; exit 1; }

missing=$(comm -13 <(comm -12 <(echo "$exported") <(echo "$symbols")) <(echo "$declared"))
forgotten=$(comm -23 <(echo "$exported") <(echo "$declared"))
for symbol in $missing; do echo "$sql names $symbol, which $library does not have" >&2; done
for symbol in $forgotten; do echo "$library exports $symbol, which $sql does not declare" >&2; done
[[ -z $unnamed ]] || echo "no symbol is named in $sql: $unnamed" >&2
for symbol in $others; do echo "$library exports $symbol, which is neither a function for SQL nor looked for by Postgres" >&2; done

# Symbols of a glibc newer than the newest allowed, as SYMBOL@GLIBC_VERSION.
too_new=$(nm --dynamic --undefined-only "$library" | awk -v newest="$newest_glibc" '
    { split($2, at, "@+GLIBC_") }
    at[2] { split(at[2], have, "."); split(newest, most, ".") }
    at[2] && (have[1] > most[1] || have[1] == most[1] && have[2] > most[2]) { print $2 }')
for symbol in $too_new; do echo "$library needs $symbol, newer than glibc $newest_glibc" >&2; done

[[ -z $missing && -z $forgotten && -z $unnamed && -z $others && -z $too_new ]] || exit 1
echo "$(wc -l <<<"$declared") symbols: all declared, all there"
