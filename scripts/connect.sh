#!/bin/sh
# Bring Connect's own client, for the tests that speak to us with it, from npm into .cache/connect.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="@connectrpc/connect-node@2.1.2 @connectrpc/connect@2.1.2 @bufbuild/protobuf@2.17.0"

if [ "$(cat .cache/connect/installed 2>/dev/null)" = "$PACKAGES" ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "tests/clients speaks to candor with Connect's client, which comes from npm, and there is no npm here." >&2
    echo "On Debian, as root:  apt-get install nodejs npm" >&2
    exit 1
fi
mkdir -p .cache/connect
# Meant to be several words.
# shellcheck disable=SC2086
npm install --prefix .cache/connect --no-save --no-package-lock --no-fund --no-audit --no-update-notifier --loglevel=error \
    $PACKAGES >/dev/null
echo "$PACKAGES" >.cache/connect/installed
