#!/bin/sh
# Every check that needs no running: formatting, vet, the linters, the module
# file, the scripts. The pre-commit hook and CI run exactly this.
# shellcheck disable=SC2317 # step calls the checks
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "$0")/lib.sh"

golangci=v2.15.0
bin=$tools/bin/golangci-lint
if ! "$bin" version 2>/dev/null | grep -qF "${golangci#v}"; then
	say "building golangci-lint $golangci into .tools (some minutes, once)"
	GOBIN=$tools/bin go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$golangci" </dev/null
fi

rc=0
step() {
	say "$1"
	shift
	"$@" </dev/null || { rc=1; say "failed"; }
}

check_format() {
	files=$(find . -name '*.go' -not -path './.tools/*' -not -path '*/node_modules/*' -exec gofmt -l {} +)
	[ -z "$files" ] || { printf 'not formatted:\n%s\n' "$files"; return 1; }
}
check_scripts() {
	for f in scripts/*.sh scripts/hooks/* .ci/run; do
		sh -n "$f" || return 1
	done
	! have shellcheck || shellcheck -x scripts/*.sh scripts/hooks/* .ci/run
}

step "gofmt" check_format
step "go vet" go vet ./...
step "golangci-lint" "$bin" run ./...
step "go mod tidy" go mod tidy -diff
step "scripts" check_scripts
exit "$rc"
