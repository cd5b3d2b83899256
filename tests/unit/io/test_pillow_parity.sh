#!/bin/sh
# test_pillow_parity.sh PYTHON CROP_DUMP FOLDER SHARED_DATA: compare_with_pillow.py, or 77 where there is no Python.
if ! [ -x "$1" ] && ! command -v "$1" >/dev/null; then
    echo "SKIPPED: no Python at $1. To run this test:"
    echo "  python3 -m venv .venv && .venv/bin/pip install -r tests/requirements-pillow.txt"
    echo "or configure with -DEYESORE_PYTHON=/path/to/python"
    exit 77
fi
exec "$1" "$3/compare_with_pillow.py" "$2" "$3/odd_expected.tsv" "$4"
