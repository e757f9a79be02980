# shellcheck shell=bash
# Messages of ./dev. They go to stderr, so that stdout holds only what a caller may want to read.

say() { printf '%s\n' "$*" >&2; }

# A step that is about to happen.
step() { printf '%s==>%s %s\n' "$(tone 1)" "$(tone 0)" "$*" >&2; }

die() {
    printf '%serror:%s %s\n' "$(tone '1;31')" "$(tone 0)" "$*" >&2
    exit 1
}

# An escape sequence on a terminal, nothing elsewhere.
tone() { if [[ -t 2 && ${TERM:-dumb} != dumb ]]; then printf '\033[%sm' "$1"; fi; }
