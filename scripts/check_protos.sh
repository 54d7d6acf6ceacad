#!/bin/sh
# Lint protos/, and compare them with what callers have had until now: no change may break one.
#
# Compared with: where this branch left main; on main itself, the version before the last commit
# that touched protos/, so that the check that runs after a merge still sees what the merge changed.
set -eu
cd "$(dirname "$0")/.."

buf=.cache/buf/node_modules/.bin/buf
"$buf" lint
"$buf" format --diff --exit-code

nothing() {
    echo "protos: $1; breaking changes not looked for" >&2
    exit 0
}

# Where this branch left main, or nothing where main has all of it.
parted() {
    for branch in origin/main main; do
        base=$(git merge-base HEAD "$branch" 2>/dev/null) || continue
        if [ "$base" != "$(git rev-parse HEAD)" ]; then
            echo "$base"
            return
        fi
    done
}

# Whoever unpacked an archive has no history, though a folder further up may have one of its own.
[ -e .git ] || nothing "not a git checkout, so there is no earlier version"
# git refuses the checkout of another user; who runs this script here has trusted it already.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="$(pwd -P)"
git rev-parse --git-dir >/dev/null
git rev-parse --quiet --verify HEAD >/dev/null || nothing "no commit yet"
if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
    # A shallow clone looks as if its oldest commit had made everything.
    echo "protos: fetching the history that this shallow clone lacks" >&2
    if ! git fetch --quiet --unshallow; then
        echo "protos: the earlier version is not in this shallow clone, and cannot be fetched;" >&2
        echo "clone with the whole history (in CI: fetch-depth 0)" >&2
        exit 1
    fi
fi

base=$(parted)
if [ -z "$base" ]; then
    touched=$(git rev-list --max-count=1 HEAD -- protos)
    [ -n "$touched" ] || nothing "never committed before"
    base=$(git rev-parse --quiet --verify "$touched^") || nothing "this is their first version"
fi
git cat-file -e "$base:protos" 2>/dev/null || nothing "this is their first version"

rm -rf .cache/protos-before
mkdir -p .cache/protos-before
git archive "$base" protos | tar --extract --directory .cache/protos-before
cp buf.yaml .cache/protos-before
if ! "$buf" breaking --against .cache/protos-before; then
    echo "protos: callers of $(git log -1 --format='%h (%s)' "$base") would break" >&2
    exit 1
fi
