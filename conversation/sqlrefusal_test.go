package conversation_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// denial is a way in which SQL takes no writes.
type denial struct {
	name    string
	on, off func(t *testing.T, db *sqldb.DB)
}

// tables are those that the core writes.
var tables = []string{"conversations", "turns", "runs", "facts", "nodes"}

// raises has every statement that writes fail with this SQLSTATE.
func raises(code string) denial {
	return denial{"postgres " + code, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		must(t, db, `CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '`+code+`'; END $$`)
		for _, tb := range tables {
			must(t, db, "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON "+tb+" FOR EACH STATEMENT EXECUTE FUNCTION refuse()")
		}
	}, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		for _, tb := range tables {
			must(t, db, "DROP TRIGGER refuse ON "+tb)
		}
	}}
}

// pragma sets something on every connection of the pool.
func pragma(text string) func(t *testing.T, db *sqldb.DB) {
	return func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		for range db.Stats().MaxOpenConnections {
			c, err := db.Pool().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }() // all of them are held until the last has it
			if _, err := c.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func must(t *testing.T, db *sqldb.DB, q string) {
	t.Helper()
	if _, err := db.Pool().ExecContext(t.Context(), q); err != nil {
		t.Fatal(err)
	}
}

// busy holds the write lock of a SQLite file, longer than others wait for it.
func busy(path string) denial {
	var other *sql.Conn
	return denial{"sqlite busy", func(t *testing.T, _ *sqldb.DB) {
		t.Helper()
		pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pool.Close() })
		if other, err = pool.Conn(t.Context()); err == nil {
			_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		}
		if err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, _ *sqldb.DB) {
		t.Helper()
		if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		_ = other.Close()
	}}
}

// refusingSQL runs a test for each engine and each way to refuse.
func refusingSQL(t *testing.T, fn func(t *testing.T, db *sqldb.DB, addr string, o rigOptions, d denial)) {
	t.Helper()
	for _, code := range []string{"53100", "25006", "53300", "57P03"} {
		t.Run("postgres "+code, func(t *testing.T) {
			t.Parallel()
			fn(t, sqldbtest.Postgres(t), testenv.Redis(t).Addr, rigOptions{}, raises(code))
		})
	}
	for _, make := range []func(path string) denial{
		func(string) denial {
			return denial{"sqlite full", pragma("PRAGMA max_page_count = 1"), pragma("PRAGMA max_page_count = 1073741823")}
		},
		func(string) denial {
			return denial{"sqlite read-only", pragma("PRAGMA query_only = 1"), pragma("PRAGMA query_only = 0")}
		},
		busy,
	} {
		path := filepath.Join(t.TempDir(), "t.db")
		d := make(path)
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db, err := sqldb.Open(t.Context(), path, sqldb.Options{MaxConns: 2})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			fn(t, db, testenv.Miniredis(t).Addr(), rigOptions{checkpoint: true, solo: true, mode: "m"}, d)
		})
	}
}

// longReply is how many words a reply has that fills pages of a database.
const longReply = 1500

// counting counts what SQL refused of a reply that is being written.
type counting struct {
	conversation.Store
	refused atomic.Int64
}

func (c *counting) Checkpoint(ctx context.Context, cs []conversation.Checkpoint) error {
	err := c.Store.Checkpoint(ctx, cs)
	if err != nil {
		c.refused.Add(1)
	}
	return err
}

func (c *counting) Finish(ctx context.Context, f conversation.Finishing, also func(context.Context) ([]conversation.NewFact, error)) (conversation.Finished, error) {
	out, err := c.Store.Finish(ctx, f, also)
	if err != nil {
		c.refused.Add(1)
	}
	return out, err
}

// SQL takes no writes in mid-reply. What is sent meanwhile is refused with a
// code that says to repeat it with the same id, which then is accepted once;
// the reply keeps its text and ends as it should when SQL takes it, without
// having used up an attempt.
func TestSQLThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	const short = 100 * time.Millisecond
	for name, wait := range map[string]struct{ patience, end time.Duration }{
		"in time": {}, "longer than other errors may last": {patience: short}, "longer than anybody waits": {short, short},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusingSQL(t, func(t *testing.T, db *sqldb.DB, addr string, o rigOptions, d denial) {
				if wait.end > 0 && d.name == "sqlite full" {
					return // it has room for another claim, which counts
				}
				st := &counting{}
				o.store = func(s conversation.Store) conversation.Store { st.Store = s; return st }
				o.end, o.patience = wait.end, wait.patience
				m := &model{words: longReply, gate: make(chan struct{})}
				n := newNode(t, db, addr, m, o)
				id := newChat(t, n)
				acc := send(t, n, id, "first", "go")
				for range 4 {
					m.gate <- struct{}{}
				}
				testenv.EventuallyTrue(t, time.Minute, "the text is on its way", func() bool {
					o := snapshot(t, n, id).Open
					return o != nil && o.Text == answer(longReply)[:len(o.Text)] && len(o.Text) >= len("w0 w1 w2")
				})
				d.on(t, db)
				next := conversation.SendInput{Conversation: id, Learner: owner, ClientID: "second", Text: strings.Repeat("é", 3900)}
				if _, err := n.engine.Send(t.Context(), next); fault.CodeOf(err) != fault.StorageUnavailable || fault.Of(err).RetryAfterMS == 0 {
					t.Errorf("a message that SQL refused: %v", err)
				}
				close(m.gate)
				wanted := int64(4)
				if d.name == "sqlite busy" {
					wanted = 1 // each takes five seconds
				}
				if wait.end == 0 {
					testenv.EventuallyTrue(t, time.Minute, "SQL refuses the reply's end", func() bool { return st.refused.Load() >= wanted })
				} else {
					testenv.EventuallyTrue(t, time.Minute, "the writer gives it up", func() bool { return !n.runner.Has(id) })
				}
				d.off(t, db)
				done := func(run int64) (row conversation.RunRow) {
					testenv.EventuallyTrue(t, time.Minute, fmt.Sprint("the end of run ", run), func() bool {
						var err error
						row, err = n.store.RunState(t.Context(), owner, id, run)
						return err == nil && row.Ended()
					})
					if row.State != conversation.RunCompleted || row.Text != answer(longReply) {
						t.Errorf("run %d ended as %s (%s) with %q", run, row.State, row.Finish, row.Text)
					}
					return row
				}
				row := done(acc.Run)
				if tries := row.Attempt - row.Handoffs; tries != 1 {
					t.Errorf("%d counted attempts, want one", tries)
				}
				if wait.end == 0 && m.Calls() != 1 {
					t.Errorf("the model was called %d times, want once", m.Calls())
				}
				again := send(t, n, id, "second", next.Text)
				if again.Duplicate || again.Run != acc.Run+1 {
					t.Errorf("the refused message, repeated: %+v", again)
				}
				done(again.Run)
			})
		})
	}
}
