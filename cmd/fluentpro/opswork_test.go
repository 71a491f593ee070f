package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func newTestBackroom(t *testing.T, db *sqldb.DB) *backroom {
	t.Helper()
	cfg, err := configs.Load(configs.Input{Env: []string{"FLUENTPRO_DATA_DIR=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBackroom(cfg, db, "n1", nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEventsCauseJobsInTheirTransaction has every event that causes jobs, and
// kills the transaction after each of its writes.
func TestEventsCauseJobsInTheirTransaction(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b := newTestBackroom(t, db)
		for want, p := range map[string]events.Payload{
			"mail.welcome": events.LearnerRegistered{LearnerID: "l1"}, "mail.verification": events.EmailVerificationRequested{LearnerID: "l1"},
			"mail.password_reset": events.PasswordResetRequested{LearnerID: "l1"}, "mail.password_changed": events.PasswordChanged{LearnerID: "l1"},
			"mail.sign_up_repeated": events.SignUpRepeated{LearnerID: "l1"}, "mail.email_change": events.EmailChangeRequested{LearnerID: "l1"},
		} {
			killed := errors.New("killed")
			if err := db.InTx(t.Context(), func(ctx context.Context) error {
				if err := b.trail.Record(ctx, events.New("l1", p)); err != nil {
					return err
				}
				return killed
			}); !errors.Is(err, killed) {
				t.Fatal(err)
			}
			if rows, err := b.queue.List(t.Context(), jobs.Filter{Kind: want}); err != nil || len(rows) != 0 {
				t.Fatalf("%s of a transaction that was taken back: %v, %v", want, rows, err)
			}
			e := events.New("l1", p)
			if err := b.trail.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			rows, err := b.queue.List(t.Context(), jobs.Filter{Kind: want})
			if err != nil || len(rows) != 1 || rows[0].Key != e.ID || rows[0].Queue != jobs.Mail || rows[0].MaxTries != jobs.Critical.Tries {
				t.Fatalf("%s: got %+v, %v", want, rows, err)
			}
		}
	})
}

func TestOpsWorkReads(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		b := newTestBackroom(t, db)
		w := opsWork{b}
		if err := b.trail.Record(t.Context(), events.New("l1", events.LearnerRegistered{LearnerID: "l1"}), events.New("l2", events.LearnerRegistered{LearnerID: "l2"})); err != nil {
			t.Fatal(err)
		}
		if _, err := b.trail.Seal(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		as := func(v any, err error) string {
			t.Helper()
			if err != nil {
				return string(fault.CodeOf(err))
			}
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
		events := func(q string) string {
			v, err := url.ParseQuery(q)
			if err != nil {
				t.Fatal(err)
			}
			return as(w.Events(t.Context(), v))
		}
		list := func(q string) string {
			v, err := url.ParseQuery(q)
			if err != nil {
				t.Fatal(err)
			}
			return as(w.Jobs(t.Context(), v))
		}
		for name, c := range map[string]struct{ got, want, not string }{
			"events":           {events(""), `"position":2`, `learner_id`},
			"their data":       {events("data=true"), `"learner_id":"l1"`, ""},
			"of one":           {events("kind=learner&aggregate=l2"), `"aggregate":"l2"`, `"aggregate":"l1"`},
			"none":             {events("type=learner.erased"), `{"events":[]}`, ""},
			"after":            {events("after=1"), `"position":2`, `"position":1`},
			"bad aggregate":    {events("aggregate=l2"), "bad_request", ""},
			"bad time":         {events("since=yesterday"), "bad_request", ""},
			"bad limit":        {events("limit=0"), "bad_request", ""},
			"bad data":         {events("data=yes"), "bad_request", ""},
			"jobs":             {list("state=available&limit=1"), `"kind":"mail.welcome"`, `learner_id`},
			"no job":           {list("state=dead"), `{"jobs":[]}`, ""},
			"bad state":        {list("state=lost"), "bad_request", ""},
			"queues":           {as(w.Queues(t.Context())), `{"queue":"mail","workers_here":4,"available":2,`, ""},
			"no number":        {as(w.Job(t.Context(), "x")), "not_found", ""},
			"retry nothing":    {as(w.RetryJob(t.Context(), "99")), "not_found", ""},
			"drop nothing":     {as(w.DropJob(t.Context(), "99")), "not_found", ""},
			"no letters":       {as(w.Letters(t.Context(), nil)), `{"letters":[]}`, ""},
			"replay nothing":   {as(w.ReplayLetter(t.Context(), "g", "e")), "not_found", ""},
			"forget nothing":   {as(w.DropLetter(t.Context(), "g", "e")), "not_found", ""},
			"verify":           {as(w.VerifyEvents(t.Context(), "")), `"findings":[]`, ""},
			"verify otherwise": {as(w.VerifyEvents(t.Context(), "1:ab")), `unexpected_seal`, ""},
			"verify nonsense":  {as(w.VerifyEvents(t.Context(), "ab")), "bad_request", ""},
			"groups":           {as(w.Groups(t.Context())), `{"groups":[`, ""},
		} {
			if !strings.Contains(c.got, c.want) || c.not != "" && strings.Contains(c.got, c.not) {
				t.Errorf("%s: got %s, want %s and not %q", name, c.got, c.want, c.not)
			}
		}
	})
}

// TestOpsJobsCommands: what the commands ask, and how they show the answer.
func TestOpsJobsCommands(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.RequestURI()
		switch {
		case r.URL.Path == jobsPath && r.URL.RawQuery == "":
			_, _ = io.WriteString(w, `{"jobs":[]}`)
		case r.URL.Path == jobsPath:
			_, _ = io.WriteString(w, `{"jobs":[{"id":7,"kind":"mail.welcome","state":"dead"}]}`)
		case strings.HasSuffix(r.URL.Path, "/8/retry"):
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"code":"conflict","detail":"The job is running."}`)
		case r.URL.Path == deadPath:
			_, _ = io.WriteString(w, `{"letters":[{"group":"g","event":"e","reason":"no luck"}]}`)
		case r.URL.Path == verifyPath && r.URL.RawQuery != "":
			_, _ = io.WriteString(w, `{"events":1,"seal":"1:ab","findings":[{"code":"unexpected_seal","where":"position 1"}]}`)
		case r.URL.Path == verifyPath:
			_, _ = io.WriteString(w, `{"events":1,"seal":"1:ab","findings":[]}`)
		default:
			_, _ = io.WriteString(w, `{"id":7,"state":"available","outcome":"replay"}`)
		}
	}))
	t.Cleanup(srv.Close)
	for _, tc := range []struct {
		args                []string
		code                int
		asked, stdout, says string
	}{
		{[]string{"jobs", "list"}, exitOK, "GET /ops/v1/jobs", "", "no job matches"},
		{[]string{"jobs", "list", "--state", "dead", "--limit", "3"}, exitOK, "GET /ops/v1/jobs?limit=3&state=dead", "mail.welcome", ""},
		{[]string{"jobs", "show", "7"}, exitOK, "GET /ops/v1/jobs/7", "available", ""},
		{[]string{"jobs", "retry", "7"}, exitOK, "POST /ops/v1/jobs/7/retry", "available", ""},
		{[]string{"jobs", "retry", "8"}, exitConflict, "POST /ops/v1/jobs/8/retry", "", "The job is running."},
		{[]string{"jobs", "drop", "7", "-o", "json"}, exitOK, "POST /ops/v1/jobs/7/drop", `"id":7`, ""},
		{[]string{"jobs", "drop"}, exitUsage, "", "", "usage: fluentpro ops jobs drop <id>"},
		{[]string{"events", "dead", "--group", "g"}, exitOK, "GET /ops/v1/events/dead?group=g", "no luck", ""},
		{[]string{"events", "replay", "g", "e"}, exitOK, "POST /ops/v1/events/dead/g/e/replay", "replay", ""},
		{[]string{"events", "drop", "g", "e"}, exitOK, "POST /ops/v1/events/dead/g/e/drop", "", ""},
		{[]string{"events", "verify"}, exitOK, "GET /ops/v1/events/verify", "1:ab", ""},
		{[]string{"events", "verify", "--expect", "1:cd"}, exitConflict, "GET /ops/v1/events/verify?expect=1%3Acd", "unexpected_seal", "was changed"},
	} {
		var out, errs strings.Builder
		code := run(t.Context(), append(append([]string{"ops"}, tc.args...), "--url", srv.URL), nil, &out, &errs)
		if code != tc.code || !strings.Contains(out.String(), tc.stdout) || !strings.Contains(errs.String(), tc.says) {
			t.Errorf("%v: %d\n%s\n%s", tc.args, code, out.String(), errs.String())
		}
		if tc.asked != "" {
			if got := <-asked; got != tc.asked {
				t.Errorf("%v asked %q, want %q", tc.args, got, tc.asked)
			}
		}
	}
}

func TestEventsVerifyWithoutAServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := sqldb.Open(t.Context(), filepath.Join(dir, "fluentpro.db"), sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(want int, says string, args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		code := run(t.Context(), append([]string{"events", "verify"}, args...), []string{"FLUENTPRO_DATA_DIR=" + dir}, &out, &errs)
		if code != want || !strings.Contains(out.String()+errs.String(), says) {
			t.Fatalf("exit code %d, want %d: %s%s", code, want, out.String(), errs.String())
		}
		return out.String()
	}
	verify(exitUnavailable, "in use by another process")
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := newTestBackroom(t, db)
	if err := b.trail.Record(t.Context(), events.New("l1", events.LearnerRegistered{LearnerID: "l1"})); err != nil {
		t.Fatal(err)
	}
	if _, err := b.trail.Seal(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	said := verify(exitOK, "seal        1:")
	seal := strings.TrimSpace(said[strings.Index(said, "seal")+4:])
	verify(exitOK, "", "--expect", seal)
	verify(exitConflict, "unexpected_seal", "--expect", "1:00")
	verify(exitUsage, "A seal is", "--expect", "x")
	if db, err = sqldb.Open(t.Context(), filepath.Join(dir, "fluentpro.db"), sqldb.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Conn(t.Context()).ExecContext(t.Context(), "UPDATE events SET actor = 'x'"); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	verify(exitConflict, "changed", "-o", "json")
}
