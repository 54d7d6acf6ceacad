#!/bin/sh
# Lint protos/, and compare them with those on the main branch: no change may break a caller.
set -eu
cd "$(dirname "$0")/.."

buf=.cache/buf/node_modules/.bin/buf
"$buf" lint
"$buf" format --diff --exit-code

for branch in main origin/main; do
    if git cat-file -e "$branch:protos" 2>/dev/null; then
        rm -rf .cache/protos-main
        mkdir -p .cache/protos-main
        git archive "$branch" protos buf.yaml | tar --extract --directory .cache/protos-main
        exec "$buf" breaking --against .cache/protos-main
    fi
done
echo "protos: no main branch to compare with; breaking changes not looked for" >&2
