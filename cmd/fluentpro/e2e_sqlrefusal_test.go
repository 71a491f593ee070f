package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// ownDatabase makes a database of this test's own, whose settings it may
// change, and returns its URL and a way to speak to the server.
func ownDatabase(t *testing.T) (base, name string, do func(q string)) {
	t.Helper()
	sqldbtest.PostgresURL(t) // or skips
	admin, err := sqldb.Open(t.Context(), os.Getenv(sqldbtest.EnvURL), sqldb.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	name = fmt.Sprintf("t%016x", rand.Uint64())
	do = func(q string) {
		t.Helper()
		if _, err := admin.Pool().Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	do("CREATE DATABASE " + name)
	t.Cleanup(func() {
		do("DROP DATABASE " + name + " WITH (FORCE)")
		_ = admin.Close()
	})
	u, err := url.Parse(os.Getenv(sqldbtest.EnvURL))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String(), name, do
}

var refusedBySQL = regexp.MustCompile(`fluentpro_sql_refused_total\{reason="read_only"\} (\d+)`)

// SQL becomes read-only in mid-reply, as after a failover to a standby, for
// longer than a heartbeat may be old. Text goes on, messages are refused with a
// code that says to repeat them, and nothing is given up: nobody is declared
// dead, no attempt is used, and the end is stored when it can be.
func TestE2ESQLIsReadOnly(t *testing.T) {
	t.Parallel()
	database, name, do := ownDatabase(t)
	c := &cluster{t: t, sql: database, redis: testenv.Redis(t), model: newModel(t)}
	c.a, c.b = c.node("a"), c.node("b")
	l, conversation, tag, run, views := c.midReply()
	readOnly := func(value string) {
		t.Helper()
		do("ALTER DATABASE " + name + " SET default_transaction_read_only = " + value)
		do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'")
	}
	readOnly("on")
	for _, v := range views { // it is shown whole, and cannot be stored
		reaches(t, v, run, int64(len(reply(tag))))
	}
	second := newTag()
	send := func() answered {
		got, err := l.try("POST", "/conversations/"+conversation+"/messages", map[string]any{"client_id": second, "text": message(second)})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := send(); got.status != 503 || got.code() != "storage_unavailable" {
		t.Errorf("a message that SQL refuses: %d %s", got.status, got.code())
	}
	if got := c.stored(conversation, run); got.state != "running" {
		t.Errorf("SQL has the run as %s", got.state)
	}
	for _, p := range []*process{c.a, c.b} {
		testenv.Eventually(t, soon, func() error { // five seconds of beats, each node's two a second
			said, err := opsText(p, "/metrics")
			if err != nil {
				return err
			}
			m := refusedBySQL.FindStringSubmatch(said)
			if m == nil {
				return fmt.Errorf("%s does not count what SQL refused", p.name)
			}
			if n, _ := strconv.Atoi(m[1]); n < 10 {
				return fmt.Errorf("%s was refused %d times", p.name, n)
			}
			return nil
		})
		if said, err := opsText(p, "/readyz"); err != nil || !strings.Contains(said, `"degraded"`) {
			t.Errorf("%s says %s, %v", p.name, said, err)
		}
	}
	readOnly("off")
	c.allEnd(l, conversation, tag, run, views, 1)
	if got := c.stored(conversation, run); got.attempt != 1 || len(c.model.callsFor(tag)) != 1 {
		t.Errorf("%d attempts and %d calls of the model, want one of each", got.attempt, len(c.model.callsFor(tag)))
	}
	next := l.say(conversation, second)
	if next.Duplicate || next.Run != run+1 {
		t.Errorf("the refused message, repeated: %+v", next)
	}
	for name, v := range views {
		ends(t, name+", repeated message", v, next.Run, reply(second))
	}
	for _, p := range []*process{c.a, c.b} {
		said := p.out.String()
		if strings.Contains(said, "node is dead") || strings.Contains(said, "declared dead") {
			t.Errorf("%s gave a living node up", p.name)
		}
		if n := strings.Count(said, "SQL failed;"); n > 5 {
			t.Errorf("%s says %d times that SQL failed", p.name, n)
		}
		p.alive()
	}
}
