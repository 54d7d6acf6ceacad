#!/bin/sh
# Start docker-compose.yml as it stands, ask for explanations, lose Redis, see it in Prometheus, stop.
#
#   deploy/testing/compose_and_ask.sh     as root; needs podman, runc, openssl, Debian's netavark and
#                                         aardvark-dns, and `make setup`
#
# It takes a minute. The images must be there: candor's (deploy/testing/build_and_ask.sh) and those
# of stand_in.sh. All but Grafana is started, which has no stand-in.
set -eu
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
python=.venv/bin/python
project=candor-asked-$$
pem=deploy/tls/candor.pem
[ ! -e "$pem" ] || { echo "$pem is there already; it would be overwritten" >&2; exit 1; }

# Names between containers need netavark. runc and the limits: not every machine lets more be had.
cat >"$scratch/containers.conf" <<END
[network]
network_backend = "netavark"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
END
export CONTAINERS_CONF="$scratch/containers.conf"
export CANDOR_GRPC_PORT=18101 CANDOR_HTTP_PORT=18100 CANDOR_METRICS_PORT=18102
export CANDOR_TLS_PORT=18143 PROMETHEUS_PORT=18190

compose() { .cache/deploy/bin/podman-compose --project-name "$project" --profile tls "$@"; }
finish() {
    code=$?
    [ "$code" = 0 ] || for service in password redis candor tls prometheus; do
        echo "--- $service" >&2
        podman logs "${project}_${service}_1" 2>&1 | tail -n 5 >&2
    done
    compose down --volumes >/dev/null 2>&1 || :
    rm -rf "$scratch" "$pem"
    exit "$code"
}
trap finish EXIT

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout "$scratch/key" \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -out "$scratch/crt" 2>/dev/null
cat "$scratch/crt" "$scratch/key" >"$pem"
chmod 0644 "$pem"

compose up --detach --no-build redis candor password prometheus tls >"$scratch/up.log" 2>&1 \
    || { tail -n 20 "$scratch/up.log" >&2; exit 1; }
"$python" deploy/testing/ask_composed.py "$project" "$scratch/crt"

compose --profile load up --no-build load >"$scratch/load.log" 2>&1
code=$(podman inspect --format '{{.State.ExitCode}}' "${project}_load_1")
[ "$code" = 0 ] && grep -q "photos:grad_cam" "$scratch/load.log" \
    || { echo "the load test ended with $code" >&2; tail -n 20 "$scratch/load.log" >&2; exit 1; }
grep "sentences:lime" "$scratch/load.log"

compose stop candor >/dev/null 2>&1
code=$(podman inspect --format '{{.State.ExitCode}}' "${project}_candor_1")
[ "$code" = 0 ] || { echo "candor ended with $code" >&2; exit 1; }
echo "stopped with exit code 0"
