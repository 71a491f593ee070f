#!/bin/sh
# Fuzzes every target of the repository, one after the other. The seeds alone
# run with every go test; this looks for more.
#
#   scripts/fuzz.sh [package …]      default ./...
#
# FUZZTIME is the time per target (60s). What a target finds is kept in the
# testdata of its package; commit it with the fix.
set -eu
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
cd "$root"

[ $# -gt 0 ] || set -- ./...
failed=
for pkg in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "$@"); do
	dir=$(go list -f '{{.Dir}}' "$pkg")
	grep -qs '^func Fuzz' "$dir"/*_test.go || continue
	# shellcheck disable=SC2013 # names of functions hold no spaces
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$dir"/*_test.go); do
		say "$pkg $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-60s}" "$pkg" || failed="$failed $target"
	done
done
[ -z "$failed" ] || die "found something:$failed"
