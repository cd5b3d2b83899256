#!/bin/sh
# A private .venv with the pinned Pillow that some tests compare with. Without a package index in reach the tests
# still run; what is left out is said here. PYTHON=... chooses the interpreter.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
venv=$top/.venv
requirements=$top/tests/requirements-pillow.txt
log=$venv/install.log

if cmp -s "$requirements" "$venv/installed.txt"; then
    exit 0
fi

give_up() {
    echo "venv: $1" >&2
    echo "venv: skipped: the comparison of decoding and resizing with Pillow (test_pillow_parity)" >&2
    rm -rf "$venv"
    exit 0
}

rm -rf "$venv"
"${PYTHON:-python3}" -m venv "$venv" >/dev/null 2>&1 || give_up "python3 -m venv does not work here"
echo "venv: installing $(grep -v '^#' "$requirements" | tr '\n' ' ')" >&2
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2 --timeout 20 \
    -r "$requirements" >"$log" 2>&1; then
    tail -n 3 "$log" >&2
    give_up "the packages cannot be installed: no package index in reach?"
fi
cp "$requirements" "$venv/installed.txt"
