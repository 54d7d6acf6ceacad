#!/bin/sh
# Make .venv with a recent pip, on a machine that may have no more than Debian's python3.
#
# Debian splits venv's pip off into python3-venv. Where that is missing it is installed (as root), or
# pip is unpacked from Debian's package into .cache/ (else).
set -eu
cd "$(dirname "$0")/.."

PIP=26.3

if [ -x .venv/bin/python ] && .venv/bin/python -c 'import pip' 2>/dev/null; then
    exec .venv/bin/python -m pip install --quiet "pip==$PIP"
fi

python=${PYTHON:-}
for candidate in python3.11 python3; do
    if [ -z "$python" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        2>/dev/null; then
        python=$candidate
    fi
done
if [ -z "$python" ]; then
    echo "candor needs Python 3.11 or newer, and neither python3.11 nor python3 is one." >&2
    echo "On Debian 12:  apt-get install python3 python3-venv" >&2
    echo "Elsewhere, name one:  make setup PYTHON=/path/to/python3.11" >&2
    exit 1
fi

if ! "$python" -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] \
    && command -v apt-get >/dev/null; then
    scripts/debian.sh install python3-venv
fi

if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv .venv
else
    scripts/debian.sh unpack python3-pip-whl || {
        echo "$python cannot make virtual environments with pip. On Debian, as root:" >&2
        echo "  apt-get install python3-venv" >&2
        exit 1
    }
    wheel=$(echo .cache/debian/root/usr/share/python-wheels/pip-*.whl)
    "$python" -m venv --without-pip .venv
    .venv/bin/python "$wheel/pip" install --quiet "pip==$PIP"
fi
exec .venv/bin/python -m pip install --quiet "pip==$PIP"
