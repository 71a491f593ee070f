# shellcheck shell=sh disable=SC2034 # the caller uses pg_url
# Sourced: pg_start starts a private Postgres cluster on a free port and sets
# pg_url; pooler_start a PgBouncer before it and sets pooler_url; pg_stop ends
# both and removes their data. The cluster keeps nothing
# (fsync off): the tests kill our processes, not the database's machine.

pg_dir=
pg_url=
pg_watch=
pooler_url=

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
		pooler=$(cat "$2/pgbouncer.pid") && kill "$pooler"
		pid=$(head -n 1 "$2/data/postmaster.pid") && kill -QUIT "$pid"
		while kill -0 "$pid"; do sleep 1; done
		rm -rf "$2" "$2.log" "$2.pooler.log"
	' watch "$$" "$pg_dir" >/dev/null 2>&1 </dev/null &
	pg_watch=$!
}

# pooler_start: transaction mode and few servers, so that two statements of one
# client seldom meet the same session. Any database name is passed on.
pooler_start() {
	cat >"$pg_dir/pgbouncer.ini" <<-INI
		[databases]
		* = host=127.0.0.1 port=$pg_port user=postgres
		[pgbouncer]
		listen_addr = 127.0.0.1
		unix_socket_dir =
		pidfile = $pg_dir/pgbouncer.pid
		auth_type = any
		pool_mode = transaction
		default_pool_size = 5
		max_client_conn = 2000
		log_connections = 0
		log_disconnections = 0
	INI
	chmod 644 "$pg_dir/pgbouncer.ini"
	pooler_try=0
	while :; do
		pooler_port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
		cp "$pg_dir/pgbouncer.ini" "$pg_dir/pooler.ini"
		echo "listen_port = $pooler_port" >>"$pg_dir/pooler.ini"
		(cd "$pg_dir" && pg_as pgbouncer "$pg_dir/pooler.ini") >"$pg_dir.pooler.log" 2>&1 </dev/null &
		pooler_job=$!
		while kill -0 "$pooler_job" 2>/dev/null && ! grep -q 'process up' "$pg_dir.pooler.log"; do
			sleep 0.1
		done
		! kill -0 "$pooler_job" 2>/dev/null || break # else the port was taken
		pooler_try=$((pooler_try + 1))
		if [ $pooler_try -ge 8 ]; then
			cat "$pg_dir.pooler.log" >&2
			die "PgBouncer does not start"
		fi
	done
	pooler_url="postgres://postgres@127.0.0.1:$pooler_port/postgres?sslmode=disable"
}

pg_stop() {
	[ -n "$pg_dir" ] || return 0
	[ -z "$pooler_url" ] || kill "$(cat "$pg_dir/pgbouncer.pid")" 2>/dev/null || true
	[ -z "$pg_watch" ] || kill "$pg_watch" 2>/dev/null || true
	(cd "$pg_dir" && pg_as "$pg_bin/pg_ctl" -D "$pg_dir/data" -m immediate -w stop) >/dev/null 2>&1 || true
	rm -rf "$pg_dir" "$pg_dir.log" "$pg_dir.pooler.log"
	pg_dir=
}
