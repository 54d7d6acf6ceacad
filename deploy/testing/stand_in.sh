#!/bin/sh
# Make stand-ins for the base images of deploy/Dockerfile and docker-compose.yml from Debian's own
# packages, tagged as the real ones, for machines that reach Debian but no container registry.
#
#   stand_in.sh [python|redis|prometheus|haproxy]...   as root; needs debootstrap, podman
#
# They hold what the real images hold as far as we use it: Debian 12 with a `python` on the PATH, a
# user `redis` (999) with redis-server, a prometheus at /bin/prometheus that runs as nobody, haproxy.
# Debian has no Grafana.
set -eu

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# A fresh Debian with a package in it. apt brings it, since debootstrap configures in no order that
# packages of Python survive.
root_of() {
    if [ ! -e "$scratch/base.tar" ]; then
        quietly debootstrap --variant=minbase --include=ca-certificates bookworm \
            "$scratch/root" "$mirror"
        tar --create --file "$scratch/base.tar" --directory "$scratch/root" .
        rm -rf "$scratch/root"
    fi
    mkdir "$scratch/root"
    tar --extract --file "$scratch/base.tar" --directory "$scratch/root"
    # No service may start in there.
    printf '#!/bin/sh\nexit 101\n' >"$scratch/root/usr/sbin/policy-rc.d"
    chmod +x "$scratch/root/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$scratch/root/etc/resolv.conf"
    quietly chroot "$scratch/root" apt-get update
    quietly chroot "$scratch/root" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "$1"
    rm -rf "$scratch"/root/var/cache/apt/* "$scratch"/root/var/lib/apt/lists/* \
        "$scratch"/root/usr/share/doc "$scratch"/root/usr/share/man
}

quietly() {
    "$@" >"$scratch/log" 2>&1 || { tail -n 20 "$scratch/log" >&2; exit 1; }
}

imported() {
    tag=$1
    shift
    tar --create --directory "$scratch/root" . | podman import --quiet "$@" - "$tag" >/dev/null
    rm -rf "$scratch/root"
    echo "$tag"
}

python() {
    root_of python3.11-venv
    ln -s /usr/bin/python3.11 "$scratch/root/usr/local/bin/python"
    imported docker.io/library/python:3.11-slim-bookworm --change CMD=python
}

redis() {
    root_of redis-server
    # The package's user has another number than the image's.
    sed -i 's/^redis:x:[0-9]*:[0-9]*:/redis:x:999:999:/' "$scratch/root/etc/passwd"
    sed -i 's/^redis:x:[0-9]*:/redis:x:999:/' "$scratch/root/etc/group"
    mkdir -p "$scratch/root/data" && chown 999:999 "$scratch/root/data"
    imported docker.io/library/redis:7.2-bookworm --change WORKDIR=/data
}

prometheus() {
    root_of prometheus
    mkdir -p "$scratch/root/prometheus" && chown 65534:65534 "$scratch/root/prometheus"
    imported docker.io/prom/prometheus:v3.5.0 \
        --change 'ENTRYPOINT ["/bin/prometheus"]' --change USER=nobody --change WORKDIR=/prometheus
}

haproxy() {
    root_of haproxy
    imported docker.io/library/haproxy:3.0-bookworm
}

[ $# -gt 0 ] || set -- python redis prometheus haproxy
for image in "$@"; do
    "$image"
done
