#!/bin/sh
# Ask a service of our own about the committed models, and write docs/models.md: `make model-docs`.
#
# With CANDOR_DATA it measures and draws first; without, it only writes what the service says of
# itself beside the figures that were measured before. Arguments are names of models (all).
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
export PYTHONPATH=service:models
.venv/bin/python -m candor serve --model-root models/repository --grpc-address 127.0.0.1:0 \
    --http-address 127.0.0.1:0 --metrics-address 127.0.0.1:0 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null; rm -f "$log"' EXIT
until address=$(sed -n 's/.*"event": "ready".*"grpc": "\([^"]*\)".*/\1/p' "$log") && [ "$address" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.2
done
if [ "${CANDOR_DATA:-}" ]; then
    .venv/bin/python -m zoo.page renew --server "$address" "$@"
fi
.venv/bin/python -m zoo.page write --server "$address"
