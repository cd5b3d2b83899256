#!/bin/sh
# live.sh PYTHON WEIGHTS_DIR CROPS RESULTS: live.py on the f32 results; bf16's are compared with the stored
# values alone, since PyTorch would compute the same f32 answers once more. Exit 77: skipped.
here=$(dirname "$0")
if ! [ -x "$1" ]; then
    echo "skipped: no Python at $1 (set EYESORE_PYTHON, or make a .venv with tests/parity/requirements.txt)"
    exit 77
fi
if ! [ -e "$4" ]; then
    echo "skipped: no results at $4 (test_network was skipped)"
    exit 77
fi
PYTHONDONTWRITEBYTECODE=1 exec "$1" "$here/live.py" "$2" "$3" "$4"
