#!/bin/sh
# Bring a program from Debian's packages, as root or not.
#
#   debian.sh install PACKAGE           into the system (root only)
#   debian.sh unpack PACKAGE [PROGRAM]  into .cache/debian, PROGRAM runnable in .cache/debian/bin
#   debian.sh tool PROGRAM PACKAGE      whichever fits; nothing where PROGRAM is there already
set -eu
cd "$(dirname "$0")/.."

cache=$PWD/.cache/debian
export DEBIAN_FRONTEND=noninteractive

# apt with package lists of our own, for machines whose lists are empty and not ours to fill.
own_apt() {
    program=$1
    shift
    "$program" -o "Dir::State::lists=$cache/lists" -o "Dir::Cache=$cache/archives" "$@"
}

install() {
    apt-get install --yes --no-install-recommends "$1" >/dev/null 2>&1 && return
    apt-get update && apt-get install --yes --no-install-recommends "$1"
}

unpack() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    mkdir -p "$cache/lists/partial" "$cache/archives/partial" "$cache/debs" "$cache/bin"
    apt=system_apt
    if ! missing=$(wanted "$1"); then
        apt=own_apt
        own_apt apt-get update || return 1
        missing=$(wanted "$1") || return 1
    fi
    # shellcheck disable=SC2086  # a list of package names
    (cd "$cache/debs" && $apt apt-get download $missing) || return 1
    for deb in "$cache"/debs/*.deb; do
        dpkg-deb --extract "$deb" "$cache/root" || return 1
        rm "$deb"
    done
    [ -z "${2:-}" ] || wrap "$2"
}

system_apt() { "$@"; }

# The package and those of its dependencies that this machine has not.
wanted() {
    if [ "$1" = prometheus ]; then
        # promtool is one static program: the server's dependencies are not needed for it.
        $apt apt-cache show prometheus >/dev/null 2>&1 && echo prometheus
        return
    fi
    $apt apt-get install --simulate --reinstall --no-install-recommends "$1" 2>/dev/null \
        | awk '/^Inst / { print $2; found = 1 } END { exit !found }'
}

wrap() {
    program=$(find "$cache/root/usr/bin" "$cache/root/usr/sbin" -name "$1" 2>/dev/null)
    [ -n "$program" ] || return 1
    libraries=$(find "$cache/root" -type d -name '*-linux-gnu' | paste -sd: -)
    {
        echo '#!/bin/sh'
        echo "LD_LIBRARY_PATH=$libraries exec $program \"\$@\""
    } >"$cache/bin/$1"
    chmod +x "$cache/bin/$1"
}

tool() {
    [ ! -x "$cache/bin/$1" ] || return 0
    ! command -v "$1" >/dev/null || return 0
    # Servers that would start as a daemon are never installed, only unpacked.
    case $2 in prometheus | haproxy) daemon=yes ;; *) daemon= ;; esac
    if [ -z "$daemon" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        install "$2" && return
    elif unpack "$2" "$1"; then
        return
    fi
    echo "The tests need $1, and it could not be had from Debian's packages here." >&2
    echo "Install it, so that '$1' is on the PATH; on Debian, as root:" >&2
    echo "  apt-get install $2" >&2
    return 1
}

"$@"
