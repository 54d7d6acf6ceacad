#!/bin/sh
# Bring packages from npm into .cache/NAME, unless just these are there.
#
#   scripts/npm.sh NAME PURPOSE PACKAGE@VERSION...     PURPOSE is told where there is no npm
set -eu
cd "$(dirname "$0")/.."

folder=.cache/$1
purpose=$2
shift 2

if [ "$(cat "$folder/installed" 2>/dev/null)" = "$*" ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "$purpose: needs $*, which come from npm, and there is no npm here." >&2
    echo "On Debian, as root:  apt-get install nodejs npm" >&2
    exit 1
fi
mkdir -p "$folder"
npm install --prefix "$folder" --no-save --no-package-lock --no-fund --no-audit --no-update-notifier \
    --loglevel=error "$@" >/dev/null
echo "$*" >"$folder/installed"
