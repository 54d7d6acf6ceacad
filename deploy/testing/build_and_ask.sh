#!/bin/sh
# Build the image, run it as an orchestrator would (unprivileged, read-only), ask it over gRPC, stop it.
#
#   deploy/testing/build_and_ask.sh     as root; needs buildah, podman, runc, and `make setup`
#   TARGET=cuda deploy/testing/build_and_ask.sh     the image for CUDA; where there is no device it
#                                                   says so, and answers on the CPU
#
# It takes minutes. The base image must be there already (deploy/testing/stand_in.sh python makes
# one where no registry can be reached). Packages come from wherever this machine's pip takes them:
# its configuration goes into the build as a secret, and the folders that it names are mounted.
set -eu
cd "$(dirname "$0")/../.."

base=${BASE:-docker.io/library/python:3.11-slim-bookworm}
target=${TARGET:-cpu}
image=${IMAGE:-localhost/candor${TARGET:+:$TARGET}}
address=127.0.0.1:${PORT:-18001}
candor=.venv/bin/candor
scratch=$(mktemp -d)
container=candor-asked-$$
trap 'podman rm --force "$container" >/dev/null 2>&1 || :; rm -rf "$scratch"' EXIT

# `section.key='value'` a line; what is said last holds, as with pip.
.venv/bin/python -m pip config list \
    | sed -n "s/^[^=]*\.\([a-z-]*\)='\(.*\)'\$/\1 = \2/p" \
    | awk -F ' = ' '{ value[$1] = $0 } END { print "[global]"; for (key in value) print value[key] }' \
        >"$scratch/pip.conf"
volumes=""
for place in $(grep -oE '(file://)?/[^ ]+' "$scratch/pip.conf"); do
    case $place in
        file://*) place=$(dirname "${place#file://}") ;; # an index names files that lie beside it
    esac
    [ ! -e "$place" ] || volumes="$volumes --volume $place:$place:ro"
done

echo "building $image on $base"
# shellcheck disable=SC2086  # a list of flags
buildah bud --layers --isolation=chroot --network=host --pull=never --build-arg "BASE=$base" \
    --secret "id=pip_conf,src=$scratch/pip.conf" $volumes \
    --file deploy/Dockerfile --target "$target" --tag "$image" . >"$scratch/build.log" 2>&1 \
    || { tail -n 40 "$scratch/build.log" >&2; exit 1; }

size() { podman image inspect --format '{{.Size}}' "$1"; }
echo "size: $(($(size "$image") / 1000000)) MB, $((($(size "$image") - $(size "$base")) / 1000000)) MB above the base"

# Nothing may be written, /tmp included, which podman would else lend.
run() { podman --runtime runc run --network=host --read-only --read-only-tmpfs=false --user 10001:10001 --cap-drop all \
    --security-opt no-new-privileges --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"; }
run --rm --entrypoint python "$image" -c '
import importlib.util, os, pathlib
assert os.getuid() == 10001, os.getuid()
assert not pathlib.Path("/etc/pip.conf").exists(), "pip configuration of the build is in the image"
for name in ("pip", "setuptools", "torch", "hatchling"):
    assert importlib.util.find_spec(name) is None, f"{name} is in the image"
mine = [p for p in pathlib.Path("/opt/candor").rglob("*") if os.access(p, os.W_OK) and not p.is_symlink()]
assert not mine, f"the service may write to {mine[:3]}"
from candor.render.letters import lettering
face = lettering(12, "Größe, Розмір, μέγεθος").getname()[0]
assert face == "DejaVu Sans", f"drawings have letters of {face}"
'

run --detach --name "$container" --env CANDOR_GRPC_ADDRESS="$address" \
    --env CANDOR_HTTP_ADDRESS=127.0.0.1:0 --env CANDOR_METRICS_ADDRESS=127.0.0.1:0 "$image" >/dev/null
.venv/bin/python -c "
from candor.client import Client
with Client('$address') as client:
    client.wait_ready(timeout_s=180)
" || { podman logs "$container" >&2; exit 1; }
podman logs "$container" 2>&1 | grep '"event": "ready"'
"$candor" models --server "$address"
"$candor" explain --text "Not a bad film, only a long one." --model sentences \
    --methods gradient,lime --server "$address"
.venv/bin/python -c "import sys, skimage.data; sys.stdout.write(skimage.data.__path__[0])" \
    >"$scratch/pictures"
"$candor" explain "$(cat "$scratch/pictures")/chelsea.png" --model photos \
    --methods grad_cam,lime --out "$scratch/out" --server "$address"
test -s "$scratch/out/chelsea.grad_cam.png"

podman stop --time 35 "$container" >/dev/null
code=$(podman inspect --format '{{.State.ExitCode}}' "$container")
[ "$code" = 0 ] || { podman logs "$container" >&2; echo "it ended with $code" >&2; exit 1; }
echo "asked, answered, stopped with exit code 0"
