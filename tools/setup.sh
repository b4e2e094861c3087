#!/bin/sh
# Set up .venv with the project: $1 is the Python to use, $2 the extras to install.
set -eu
python=$1
extras=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    echo "error: $python is not Python 3.11 or later: install it, or run make PYTHON=/path/to/python3" >&2
    exit 1
}
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "setting up .venv (once, about a minute)"
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 ||
        "$python" -m virtualenv --quiet .venv >/dev/null 2>&1 ||
        uv venv --quiet --seed --python "$python" .venv >/dev/null 2>&1 || {
        rm -rf .venv
        echo "error: $python cannot make a virtual environment: on Debian and Ubuntu, apt install python3-venv" >&2
        exit 1
    }
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
# No compiler is no error: the rest works without engine native. Say so once, with what to do.
.venv/bin/python -c 'from microgpt import engines; engines.native_is_here() or print(engines.NOT_BUILT)'
