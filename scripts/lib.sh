# shellcheck shell=sh disable=SC2034,SC2164 # the callers use what is set, and have "set -eu"
# Sourced by the other scripts: where things are, and a way to speak.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
tools=$root/.tools

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# A service or a CI run may have no home; go and npm want one.
if [ -z "${HOME:-}" ] || [ ! -d "${HOME:-}" ] || [ ! -w "${HOME:-}" ]; then
	mkdir -p "$tools/home"
	HOME=$tools/home
	export HOME
fi

PATH=$tools/bin:$PATH
have go || PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
export PATH
have go || die "Go is not installed; get 1.26 or later from https://go.dev/dl"

# A checkout that belongs to somebody else makes git refuse, and go build with it.
case " ${GOFLAGS:-} " in
*-buildvcs*) ;;
*) GOFLAGS="${GOFLAGS:-} -buildvcs=false" ;;
esac
GOFLAGS=${GOFLAGS# }
export GOFLAGS

# as_root COMMAND…: run it as root, if there is a way without asking.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo && sudo -n true 2>/dev/null; then
		sudo -n "$@"
	else
		return 1
	fi
}

# apt_install "WHY" PACKAGE…: install Debian packages, without letting them
# start services of their own.
apt_install() {
	why=$1
	shift
	say "installing $* ($why)"
	have apt-get || die "needs $* ($why), and this machine has no apt-get: please install it"
	policy=/usr/sbin/policy-rc.d
	made=
	if [ ! -e "$policy" ]; then
		# exit code 101 tells package scripts not to start anything
		as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy" ||
			die "needs $* ($why); please run: sudo apt-get install $*"
		made=1
	fi
	ok=1
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null >&2 || say "apt-get update failed; trying with the list there is"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" </dev/null >&2 || ok=
	[ -z "$made" ] || as_root rm -f "$policy"
	[ -n "$ok" ] || die "could not install $*"
}
