#!/bin/sh
# Install the Debian packages that are missing: scripts/setup.sh [build] [test] [lint] [demo]
# As root it installs them; else it prints the command that does and exits 2. Nothing to do takes no time.
# EYESORE_SKIP_SETUP=1: trust that all is there (another package manager, modules of a cluster).
set -eu

here=$(dirname "$0")
log=${TMPDIR:-/tmp}/eyesore-setup-$$.log

if [ "${EYESORE_SKIP_SETUP:-}" = 1 ]; then
    exit 0
fi

# The lines of packages.txt for what was asked.
wanted() {
    for purpose in "$@"; do
        sed -n "s/^$purpose //p" "$here/packages.txt"
    done
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup: this is no Debian: the equivalents of these packages are needed:" >&2
    wanted "$@" | sed 's/|/ or /; s/^/    /' >&2
    exit 0 # CMake says what it does not find
fi

installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
    sed -n 's/^installed //p' | tr '\n' ' ')"

is_installed() {
    case $installed in *" $1 "*) return 0 ;; esac
    return 1
}

# Those of which no alternative is installed.
missing() {
    wanted "$@" | while read -r line; do
        found=no
        for package in $(echo "$line" | tr '|' ' '); do
            if is_installed "$package"; then found=yes; fi
        done
        if [ "$found" = no ]; then echo "$line"; fi
    done
}

# The first alternative that apt knows, or the first of all.
choose() {
    while read -r line; do
        chosen=${line%%|*}
        for package in $(echo "$line" | tr '|' ' '); do
            if apt-cache show "$package" >/dev/null 2>&1; then
                chosen=$package
                break
            fi
        done
        echo "$chosen"
    done
}

lines=$(missing "$@")
if [ -z "$lines" ]; then
    exit 0
fi

if [ "$(id -u)" != 0 ]; then
    echo "setup: packages are missing; install them with" >&2
    # shellcheck disable=SC2046 # one line
    echo "    sudo apt-get install --no-install-recommends" $(echo "$lines" | choose) >&2
    echo "and run the same make command again." >&2
    exit 2
fi

trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
echo "setup: apt-get update" >&2
if ! apt-get update -qq -o Acquire::Retries=3 >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    echo "setup: apt-get update failed; going on with the package lists that are there" >&2
fi
packages=$(echo "$lines" | choose | tr '\n' ' ')
echo "setup: installing $packages" >&2
# shellcheck disable=SC2086 # a list of packages
if ! apt-get install -y -qq --no-install-recommends -o Acquire::Retries=3 $packages >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get install failed (above); see to it and run the same make command again" >&2
    exit 2
fi
