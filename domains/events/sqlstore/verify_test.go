package sqlstore_test

import (
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func codes(r events.Report) (out []string) {
	for _, f := range r.Findings {
		out = append(out, f.Code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestTamperingShows(t *testing.T) {
	t.Parallel()
	const second = "(SELECT id FROM events WHERE aggregate = 'a' AND seq = 2)"
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := sqlstore.New(db, sqlstore.Options{})
		record(t, s, registered("a"), events.New("a", events.EmailVerified{LearnerID: "a"}),
			events.New("a", events.PasswordChanged{LearnerID: "a", By: "reset"}), registered("b"))
		seal(t, s)
		r, err := s.Verify(t.Context(), "")
		if err != nil || len(r.Findings) != 0 || r.Events != 4 || r.Seal == "" {
			t.Fatalf("an untouched trail: %+v, %v", r, err)
		}
		for name, c := range map[string]struct {
			do   []string
			want string
		}{
			"actor":            {[]string{"UPDATE events SET actor = 'x' WHERE id = " + second}, "changed"},
			"time":             {[]string{"UPDATE events SET at = at + 1 WHERE id = " + second}, "changed"},
			"data":             {[]string{"UPDATE events SET data = '{}' WHERE id = " + second}, "data_changed"},
			"data and hash":    {[]string{"UPDATE events SET data = '{}', data_hash = 'x' WHERE id = " + second}, "changed"},
			"newest of one":    {[]string{"DELETE FROM event_log WHERE position = 3", "DELETE FROM events WHERE aggregate = 'a' AND seq = 3"}, "head_mismatch"},
			"one in the midst": {[]string{"DELETE FROM event_log WHERE position = 2", "DELETE FROM events WHERE id = " + second}, "missing"},
			"a whole life": {[]string{"DELETE FROM event_log WHERE position = 4", "DELETE FROM events WHERE aggregate = 'b'",
				"DELETE FROM event_heads WHERE aggregate = 'b'"}, "seal_mismatch"},
			"order":          {[]string{"UPDATE event_log SET position = 9 WHERE position = 1", "UPDATE event_log SET position = 1 WHERE position = 2", "UPDATE event_log SET position = 2 WHERE position = 9"}, "log_mismatch"},
			"out of the log": {[]string{"DELETE FROM event_outbox", "DELETE FROM event_log WHERE position = 4", "UPDATE event_seal SET position = 3, hash = (SELECT hash FROM event_log WHERE position = 3)"}, "log_mismatch"},
			"put in":         {[]string{"INSERT INTO events (id, type, version, kind, aggregate, seq, actor, correlation, at, data, salt, data_hash, prev, hash) SELECT 'x', type, version, kind, 'z', 1, actor, correlation, at, data, salt, data_hash, '', hash FROM events WHERE id = " + second}, "changed"},
		} {
			t.Run(name, func(t *testing.T) { // one after the other: they share a database
				stop := snapshot(t, db)
				defer stop()
				for _, q := range c.do {
					if _, err := db.Conn(t.Context()).ExecContext(t.Context(), q); err != nil {
						t.Fatal(err)
					}
				}
				got, err := s.Verify(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(codes(got), c.want) {
					t.Fatalf("got %v, want %s", got.Findings, c.want)
				}
			})
		}
		again, err := s.Verify(t.Context(), r.Seal)
		if err != nil || len(again.Findings) != 0 {
			t.Fatalf("put back: %+v, %v", again, err)
		}
	})
}

// snapshot puts the tables back when the test ends.
func snapshot(t *testing.T, db *sqldb.DB) func() {
	t.Helper()
	tables := []string{"event_log", "event_outbox", "events", "event_heads", "event_seal"}
	exec := func(q string) {
		if _, err := db.Conn(t.Context()).ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range tables {
		exec("CREATE TABLE kept_" + name + " AS SELECT * FROM " + name)
	}
	return func() {
		for _, name := range tables {
			exec("DELETE FROM " + name)
		}
		overriding := ""
		if db.Engine == sqldb.Postgres {
			overriding = " OVERRIDING SYSTEM VALUE"
		}
		for _, name := range []string{"events", "event_heads", "event_seal", "event_log", "event_outbox"} {
			exec("INSERT INTO " + name + overriding + " SELECT * FROM kept_" + name)
			exec("DROP TABLE kept_" + name)
		}
	}
}

func TestSealKeptElsewhereCatchesARewrite(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := sqlstore.New(db, sqlstore.Options{})
		record(t, s, registered("a"), registered("b"))
		seal(t, s)
		before, err := s.Verify(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		record(t, s, registered("c"))
		seal(t, s)
		if r, err := s.Verify(t.Context(), before.Seal); err != nil || len(r.Findings) != 0 {
			t.Fatalf("a trail that grew: %+v, %v", r, err)
		}
		// Somebody who can write every table makes the trail anew, whole in itself.
		for _, q := range []string{"DELETE FROM event_log", "DELETE FROM event_outbox", "DELETE FROM events", "DELETE FROM event_heads", "UPDATE event_seal SET position = 0, hash = ''"} {
			if _, err := db.Conn(t.Context()).ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		record(t, s, registered("a"), registered("x"), registered("c"))
		seal(t, s)
		if r, err := s.Verify(t.Context(), ""); err != nil || len(r.Findings) != 0 {
			t.Fatalf("the forged trail should look whole: %+v, %v", r, err)
		}
		r, err := s.Verify(t.Context(), before.Seal)
		if err != nil || !slices.Contains(codes(r), "unexpected_seal") {
			t.Fatalf("got %+v, %v, want unexpected_seal", r, err)
		}
		if _, err := s.Verify(t.Context(), "nonsense"); fault.CodeOf(err) != fault.BadRequest {
			t.Fatalf("got %v, want bad_request", err)
		}
	})
}

func TestErasingKeepsTheChain(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := sqlstore.New(db, sqlstore.Options{})
		record(t, s, registered("a"), registered("b"))
		seal(t, s)
		if err := s.Erase(t.Context(), events.Aggregate{Kind: "learner", ID: "a"}); err != nil {
			t.Fatal(err)
		}
		record(t, s, events.New("", events.LearnerErased{LearnerID: "a"}))
		a := read(t, s, events.Query{Aggregate: events.Aggregate{Kind: "learner", ID: "a"}})
		if len(a) != 2 || string(a[0].Data) != "null" || string(a[1].Data) == "null" {
			t.Fatalf("got %+v", a)
		}
		b := read(t, s, events.Query{Aggregate: events.Aggregate{Kind: "learner", ID: "b"}})
		if string(b[0].Data) == "null" {
			t.Fatal("another learner's data went too")
		}
		r, err := s.Verify(t.Context(), "")
		if err != nil || len(r.Findings) != 0 || r.Erased != 1 {
			t.Fatalf("got %+v, %v", r, err)
		}
	})
}
