#!/bin/sh
# Measures delay and CPU per token beside a bare relay, memory per idle
# connection, the time from kill -9 to the next character, and what Redis holds,
# and prints Markdown. docs/benchmarks.md says how to read it. "chaos" breaks nodes, Redis
# and SQL instead, and docs/reliability.md says what must hold.
#
#   scripts/bench.sh [relay|idle|kill|resume|observers|slow|memory|scale|chaos [FLAG…]]
#
# Without arguments all but scale and chaos, which take long.
#
# It starts a Postgres of its own, unless FLUENTPRO_DATABASE_URL names a
# database that it may fill; a Postgres without fsync costs less than a real
# one, which is why the figures in the document come from one that has it.
set -eu
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
# shellcheck source=scripts/postgres.sh
. "$root/scripts/postgres.sh"

case "${1:-all}" in
relay | idle | kill | resume | observers | slow | memory | scale | chaos | all) ;;
*) die "usage: scripts/bench.sh [relay|idle|kill|resume|observers|slow|memory|scale|chaos [FLAG…]]" ;;
esac
have redis-server || apt_install "the benchmarks use a real Redis" redis-server

work=$(mktemp -d /tmp/fluentpro-bench.XXXXXX)
trap 'pg_stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$root" status --porcelain -uno 2>/dev/null)" ] || commit=$commit+changes
pkg=$(go list ./internal/buildinfo)
go build -trimpath -ldflags "-X $pkg.commit=$commit" -o "$work/fluentpro" ./cmd/fluentpro

if [ -z "${FLUENTPRO_DATABASE_URL:-}" ]; then
	pg_find >/dev/null || apt_install "the benchmarks use a real Postgres" postgresql
	pg_start
	FLUENTPRO_DATABASE_URL=$pg_url
	export FLUENTPRO_DATABASE_URL
fi

if [ $# -gt 0 ]; then
	"$work/fluentpro" bench "$@"
	exit
fi
for what in relay idle kill resume observers slow memory; do
	say "$what"
	printf '\n## %s\n\n' "$what"
	"$work/fluentpro" bench $what
done
