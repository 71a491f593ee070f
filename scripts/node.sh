# shellcheck shell=sh disable=SC2154 # lib.sh sets tools
# Sourced: node_find sets $node to a Node that can run the client tests. The
# pinned one comes as a package from the npm registry, so that everybody tests
# with the same.

node_version=24.21.0
node=

node_find() {
	pinned=$tools/node-$node_version/node_modules/node/bin/node
	if [ ! -x "$pinned" ]; then
		have npm || apt_install "npm brings the pinned Node for the client tests" npm
		say "installing Node $node_version into .tools (the client tests are pinned to it)"
		# The machine may trust a certificate that Node does not bring along.
		cas=/etc/ssl/certs/ca-certificates.crt
		[ -n "${NODE_EXTRA_CA_CERTS:-}" ] || [ ! -r "$cas" ] || export NODE_EXTRA_CA_CERTS="$cas"
		npm install --prefix "$tools/node-$node_version" --no-audit --no-fund --no-save --loglevel=error --fetch-retries=1 "node@$node_version" </dev/null >&2 || true
	fi
	if "$pinned" --version >/dev/null 2>&1; then
		node=$pinned
		return
	fi
	# Without the registry any recent Node is better than no test.
	if have node && [ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20')" = true ]; then
		node=$(command -v node)
		say "Node $node_version cannot be had; using $("$node" --version) at $node"
		return
	fi
	die "Node $node_version cannot be installed, and there is no Node 20 or later here"
}

# An independent mock of the OpenAI API, which the client of models is tested
# against beside our own; conversation/openai/aimock_test.go names the same
# version.
aimock_version=1.43.0

aimock_find() {
	[ -f "$tools/aimock-$aimock_version/node_modules/@copilotkit/aimock/dist/cli.js" ] && return
	have npm || apt_install "npm brings the independent mock of the OpenAI API" npm
	say "installing @copilotkit/aimock $aimock_version into .tools (a second upstream for the tests)"
	npm install --prefix "$tools/aimock-$aimock_version" --no-audit --no-fund --no-save --ignore-scripts --loglevel=error --fetch-retries=1 "@copilotkit/aimock@$aimock_version" </dev/null >&2
}
