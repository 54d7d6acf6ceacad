#!/bin/sh
# Renew the locks in requirements/ (all of them, so that one version of a package serves everywhere).
#
# Run it by `make lock`, which brings uv. Without arguments, versions move only where
# pyproject.toml asks for it; `scripts/lock.sh --upgrade` takes the newest of everything.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

compile() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate \
        --custom-compile-command "make lock" --output-file "requirements/$output" "$@"
}

# One resolution of everything first; the others are cut from it. It starts from the locks as they
# are, which is what keeps versions still.
cat requirements/build.txt requirements/dev.txt requirements/reference.txt \
    >requirements/everything.txt 2>/dev/null || :
compile everything.txt pyproject.toml --extra serve --extra bulk \
    --group build --group dev --group reference "$@"
compile serve.txt pyproject.toml --extra serve --constraints requirements/everything.txt
compile cuda.txt pyproject.toml --extra cuda --group cuda-libraries \
    --constraints requirements/everything.txt
compile dev.txt pyproject.toml --extra serve --extra bulk --group dev \
    --constraints requirements/everything.txt
compile build.txt --group build --constraints requirements/everything.txt
compile reference.txt --group reference --constraints requirements/everything.txt
# Programs in an environment of their own, so no part of the one resolution.
compile deploy.txt --group deploy "$@"
rm requirements/everything.txt
