#!/bin/sh
# live.sh PYTHON WEIGHTS_DIR CROPS RESULTS RESULTS_BF16: live.py on both results. Exit 77: skipped.
here=$(dirname "$0")
if ! [ -x "$1" ]; then
    echo "skipped: no Python at $1 (set EYESORE_PYTHON, or make a .venv with tests/parity/requirements.txt)"
    exit 77
fi
if ! [ -e "$4" ]; then
    echo "skipped: no results at $4 (test_network was skipped)"
    exit 77
fi
"$1" "$here/live.py" "$2" "$3" "$4" || exit $?
if [ -e "$5" ]; then
    "$1" "$here/live.py" "$2" "$3" "$5" --bf16
fi
