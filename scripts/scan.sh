#!/bin/sh
# Look for what others know to be wrong: with the locked packages of the images (pip-audit), and with
# the Dockerfile and the manifests as they are rendered (checkov; deploy/checkov.yaml says what it
# skips, and why).
#
#   scan.sh [packages|files]...   both, where none is named
set -eu
cd "$(dirname "$0")/.."

PIP_AUDIT=2.10.1
CHECKOV=3.3.30
here=.cache/scan

# A virtual environment for each: they need other versions of the same packages.
program() {
    [ -x "$here/$1/bin/$1" ] && [ "$(cat "$here/$1/version")" = "$2" ] && return
    .venv/bin/python -m venv --clear "$here/$1"
    "$here/$1/bin/python" -m pip install --quiet --disable-pip-version-check "$1==$2"
    echo "$2" >"$here/$1/version"
}

packages() {
    program pip-audit "$PIP_AUDIT"
    # Strict: a package that could not be asked about is no package that is well.
    for lock in requirements/serve.txt requirements/cuda.txt; do
        "$here/pip-audit/bin/pip-audit" --requirement "$lock" --require-hashes --disable-pip --strict
    done
}

files() {
    program checkov "$CHECKOV"
    rendered=$here/rendered
    mkdir -p "$rendered"
    for overlay in deploy/kubernetes/overlays/*; do
        render "$overlay" >"$rendered/$(basename "$overlay").yaml"
    done
    "$here/checkov/bin/checkov" --config-file deploy/checkov.yaml --directory "$rendered"
    "$here/checkov/bin/checkov" --config-file deploy/checkov.yaml --file deploy/Dockerfile
}

render() {
    if command -v kustomize >/dev/null; then kustomize build "$1"; else kubectl kustomize "$1"; fi
}

[ $# -gt 0 ] || set -- files packages
for what in "$@"; do
    "$what"
done
