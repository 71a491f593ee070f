#!/bin/sh
# Runs every test on a Debian machine that has nothing but Go: installs what is
# missing and says why, starts its own Postgres on a free port (tests start
# their own Redis), and stops what it started.
#
#   scripts/test.sh [package …]      default ./...; only that checks coverage
#
# TESTFLAGS adds flags for go test, MIN_COVERAGE sets the least coverage in per
# cent (80).
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"
# shellcheck source-path=SCRIPTDIR source=postgres.sh
. "$root/scripts/postgres.sh"
# shellcheck source-path=SCRIPTDIR source=node.sh
. "$root/scripts/node.sh"

work=$(mktemp -d)
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
	code=$?
	trap - EXIT INT TERM HUP
	pg_stop
	rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What the shell of a developer has set must not change what is tested.
for v in $(env | sed -n 's/^\(FLUENTPRO_[A-Za-z0-9_]*\)=.*/\1/p') OPENAI_API_KEY OPENAI_BASE_URL XDG_DATA_HOME; do
	unset "$v"
done

PATH=$PATH:/usr/sbin # nginx lives there
export PATH
missing=
have redis-server || missing="$missing redis-server"
pg_find >/dev/null || missing="$missing postgresql"
have pgbouncer || missing="$missing pgbouncer"
have chromium || have chromium-browser || have google-chrome || missing="$missing chromium"
have nginx || missing="$missing nginx"
have caddy || missing="$missing caddy"
have gcc || have cc || missing="$missing gcc libc6-dev"
# shellcheck disable=SC2086 # a list of words
[ -z "$missing" ] || apt_install "redis-server, postgresql and pgbouncer: the real parts behind the tests; chromium: the page; nginx and caddy: the proxies of docs/proxies.md; gcc: the race detector needs cgo" $missing
if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
	die "running as root, and there is no user postgres to run Postgres as"
fi
node_find
aimock_find

# Installs what a package.json locks, unless it is there.
npm_locked() {
	dir=$1
	if [ ! -e "$dir/node_modules/.package-lock.json" ] || [ -n "$(find "$dir/package-lock.json" -newer "$dir/node_modules/.package-lock.json")" ]; then
		say "installing $2 ($dir)"
		NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt} npm ci --prefix "$dir" --no-audit --no-fund --ignore-scripts --loglevel=error --fetch-retries=1 </dev/null >&2
	fi
}

if [ -n "$node" ]; then
	npm_locked web/client "TypeScript, React, esbuild and terser, which check the client package"
	npm_locked web/clienttests "the clients that are tested against the server"
	for dir in web/client web/app; do
		if [ -d "$dir/test" ]; then
			say "client tests of $dir with Node $("$node" --version)"
			(cd "$dir" && find test -name '*.test.js' -o -name '*.test.mjs' | sort | FLUENTPRO_TEST_REQUIRE=1 xargs "$node" --test) </dev/null
		fi
	done
	say "types of web/client"
	for project in . test/types; do
		(cd web/client && "$node" node_modules/typescript/bin/tsc -p "$project") </dev/null
	done
	PATH=$(dirname "$node"):$PATH
	export PATH
fi

say "starting Postgres"
pg_start
say "Postgres listens on 127.0.0.1:$pg_port, without fsync, for these tests only"

pooler_start
say "PgBouncer listens on 127.0.0.1:$pooler_port, in transaction mode"

export FLUENTPRO_TEST_DATABASE_URL="$pg_url"
export FLUENTPRO_TEST_POOLER_URL="$pooler_url"
export FLUENTPRO_TEST_REQUIRE=1
export CGO_ENABLED=1 # the race detector

packages=${*:-./...}
say "go test -race $packages"
mkdir -p "$tools"
profile=$tools/coverage.out
rm -f "$profile"
{
	rc=0
	# Two packages at a time: tests of a package run in parallel themselves.
	# shellcheck disable=SC2086 # lists of words
	go test -race -p 2 -timeout 45m -covermode atomic -coverpkg ./... -coverprofile "$profile" ${TESTFLAGS:-} $packages </dev/null 2>&1 || rc=$?
	echo "$rc" >"$work/rc"
} | grep --line-buffered -v 'no test files\]\|^warning: no packages being tested depend on matches\|^	' | sed -u 's/\tcoverage: .*//' | tee "$work/log"
rc=$(cat "$work/rc")

if [ "$packages" = ./... ]; then
	say "the simulation again without the race detector, ten times as many schedules"
	go test -count=1 -run '^TestSchedules$' -v ./conversation/simulation </dev/null 2>&1 | grep -v '^=== ' | tee -a "$work/log"
	! grep -q '^FAIL' "$work/log" || rc=1
fi

if [ "$packages" = ./... ] && [ "$rc" = 0 ]; then
	# Generated code is left out: its generator is what is tested.
	module=$(go list -m)
	grep -rlE '^// Code generated .* DO NOT EDIT\.$' --include='*.go' --exclude-dir=node_modules --exclude-dir=.tools . |
		sed "s|^\./|$module/|; s|\$|:|" >"$work/generated" || true
	grep -vF -f "$work/generated" "$profile" >"$work/own" || cp "$profile" "$work/own"
	total=$(go tool cover -func "$work/own" | awk '$1 == "total:" { sub("%", "", $NF); print $NF }')
	least=${MIN_COVERAGE:-80}
	if awk "BEGIN { exit !($total < $least) }"; then
		say "coverage of the Go code is $total %, under the $least % that are asked for"
		rc=1
	else
		say "coverage of the Go code is $total % (at least $least %)"
	fi
fi

# The usual summary once more, so that the end of a long log says it all.
grep -E '^(ok|FAIL|panic:|--- FAIL)' "$work/log" || true
[ "$rc" = 0 ] || say "failed"
exit "$rc"
