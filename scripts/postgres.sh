# shellcheck shell=sh disable=SC2034 # the caller uses pg_url
# Sourced: pg_start starts a private Postgres cluster on a free port and sets
# pg_url; pg_stop ends it and removes its data. The cluster keeps nothing
# (fsync off): the tests kill our processes, not the database's machine.

pg_dir=
pg_url=
pg_watch=

pg_find() { # prints the directory of initdb
	if have initdb && have pg_ctl; then
		dirname "$(readlink -f "$(command -v initdb)")"
		return
	fi
	for d in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin; do
		if [ -x "$d/initdb" ] && [ -x "$d/pg_ctl" ]; then
			echo "$d"
			return
		fi
	done
	return 1
}

# Postgres refuses to run as root.
pg_as() {
	if [ "$(id -u)" != 0 ]; then
		"$@"
	elif have setpriv; then
		setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all env HOME="$pg_dir" "$@"
	else
		runuser -u postgres -- env HOME="$pg_dir" "$@"
	fi
}

pg_start() {
	pg_bin=$(pg_find) || die "Postgres is not installed"
	pg_dir=$(TMPDIR=/tmp mktemp -d /tmp/fluentpro-pg.XXXXXX)
	[ "$(id -u)" != 0 ] || chown postgres "$pg_dir"
	(cd "$pg_dir" && pg_as "$pg_bin/initdb" -D "$pg_dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync) >"$pg_dir.log" 2>&1 ||
		{ cat "$pg_dir.log" >&2; die "initdb failed"; }
	pg_try=0
	while :; do
		# A random port may be taken; then the start fails and another is tried.
		pg_port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
		if (cd "$pg_dir" && pg_as "$pg_bin/pg_ctl" -D "$pg_dir/data" -l "$pg_dir/server.log" -w -t 60 -o "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$pg_dir -c max_connections=400 -c shared_buffers=128MB -c fsync=off -c full_page_writes=off" start) >"$pg_dir.log" 2>&1 </dev/null; then
			break
		fi
		pg_try=$((pg_try + 1))
		if [ $pg_try -ge 8 ]; then
			cat "$pg_dir.log" "$pg_dir/server.log" >&2 || true
			die "Postgres does not start"
		fi
	done
	pg_url="postgres://postgres@127.0.0.1:$pg_port/postgres?sslmode=disable"
	# A script that is killed cannot clean up; this one looks after it.
	# shellcheck disable=SC2016 # its own variables
	setsid sh -c '
		while kill -0 "$1" 2>/dev/null; do sleep 1; done
		pid=$(head -n 1 "$2/data/postmaster.pid") && kill -QUIT "$pid"
		while kill -0 "$pid"; do sleep 1; done
		rm -rf "$2" "$2.log"
	' watch "$$" "$pg_dir" >/dev/null 2>&1 </dev/null &
	pg_watch=$!
}

pg_stop() {
	[ -n "$pg_dir" ] || return 0
	[ -z "$pg_watch" ] || kill "$pg_watch" 2>/dev/null || true
	(cd "$pg_dir" && pg_as "$pg_bin/pg_ctl" -D "$pg_dir/data" -m immediate -w stop) >/dev/null 2>&1 || true
	rm -rf "$pg_dir" "$pg_dir.log"
	pg_dir=
}
