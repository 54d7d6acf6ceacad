#!/bin/sh
# Bring buf, the protobuf linter, from npm into .cache/buf.
set -eu
cd "$(dirname "$0")/.."

BUF=1.75.0

if [ "$(.cache/buf/node_modules/.bin/buf --version 2>/dev/null)" = "$BUF" ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "make check lints protos/ with buf, which comes from npm, and there is no npm here." >&2
    echo "On Debian, as root:  apt-get install nodejs npm" >&2
    exit 1
fi
mkdir -p .cache/buf
npm install --prefix .cache/buf --no-save --no-package-lock --no-fund --no-audit --no-update-notifier --loglevel=error \
    "@bufbuild/buf@$BUF" >/dev/null
