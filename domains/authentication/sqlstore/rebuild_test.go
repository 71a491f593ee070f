package sqlstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/domains/events"
	eventsql "github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// TestAccountRebuiltFromEventsEqualsStored does what learners and operators
// do, in random order, refusals included, and after each step compares what
// the events tell with what is stored; at the end the account is erased.
func TestAccountRebuiltFromEventsEqualsStored(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		for seed := range uint64(6) {
			randomLife(t, db, seed, seed%2 == 1)
		}
	})
}

// erasesTrail takes the data of events away with the account, as the server's
// holder does.
type erasesTrail struct{ trail *eventsql.Store }

func (erasesTrail) ExportPersonal(context.Context, string, func(string, any) error) error { return nil }

func (h erasesTrail) ErasePersonal(ctx context.Context, learner string) error {
	return h.trail.Erase(ctx, events.Aggregate{Kind: "learner", ID: learner})
}

func randomLife(t *testing.T, db *sqldb.DB, seed uint64, confirm bool) {
	t.Helper()
	ctx, luck := t.Context(), rand.New(rand.NewPCG(seed, 7))
	trail := eventsql.New(db, eventsql.Options{})
	now, mail := time.Now(), ""
	s, err := authentication.New(ctx, sqlstore.New(db), authentication.Config{
		Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1}, HashQueue: 1000, AnswerAfter: -1, Now: func() time.Time { return now },
		ConfirmSignUp: confirm, Events: trail, Holders: []authentication.NamedHolder{{Name: "events", Holder: erasesTrail{trail}}},
		Mailer: authentication.MailerFunc(func(_ context.Context, m authentication.Mail) error { mail = m.Text; return nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	in := signUp()
	in.Email = fmt.Sprintf("life%d@example.com", seed)
	if _, err := s.SignUp(ctx, in); err != nil {
		t.Fatal(err)
	}
	account, err := s.Find(ctx, in.Email)
	if err != nil {
		t.Fatal(err)
	}
	id := account.ID
	rebuilt := func() authentication.History {
		t.Helper()
		evs, err := trail.Read(ctx, events.Query{Aggregate: events.Aggregate{Kind: "learner", ID: string(id)}})
		if err != nil {
			t.Fatal(err)
		}
		h, err := authentication.Rebuild(evs)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	link := func(write func(context.Context, authentication.LearnerID) error) string {
		mail = ""
		if err := write(ctx, id); err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(mail, "/#/")
		_, token, _ := strings.Cut(after, "/")
		return strings.SplitN(token+"\n", "\n", 2)[0]
	}
	own := authentication.ConfirmedInput{Learner: id, Password: in.Password}
	// What is refused must leave no event; so no error is looked at.
	steps := map[string]func(){
		"login":   func() { _, _ = s.Login(ctx, authentication.LoginInput{Email: in.Email, Password: in.Password}) },
		"suspend": func() { _ = s.Suspend(ctx, authentication.AtTheMachine, id) },
		"restore": func() { _ = s.Restore(ctx, authentication.AtTheMachine, id) },
		"leave":   func() { _ = s.Deactivate(ctx, own) },
		"promote": func() { _ = s.SetRole(ctx, authentication.AtTheMachine, id, authentication.RoleOperator) },
		"demote":  func() { _ = s.SetRole(ctx, authentication.AtTheMachine, id, authentication.RoleLearner) },
		"badRole": func() {
			_ = s.SetRole(ctx, authentication.Actor{ID: "x", Role: authentication.RoleOperator}, id, authentication.RoleAdmin)
		},
		"verify": func() { _ = s.ConfirmEmail(ctx, link(s.MailVerification)) },
		"reset": func() {
			if s.ResetPassword(ctx, link(s.MailPasswordReset), "tulip under glass") == nil {
				in.Password, own.Password = "tulip under glass", "tulip under glass"
			}
		},
		"guess": func() { _, _ = s.Login(ctx, authentication.LoginInput{Email: in.Email, Password: "a wrong guess"}) },
	}
	names := []string{"login", "suspend", "restore", "leave", "promote", "demote", "badRole", "verify", "reset", "guess", "login", "leave"}
	seen := map[authentication.History]bool{}
	check := func(step string) {
		t.Helper()
		v, err := s.Find(ctx, in.Email)
		if err != nil {
			t.Fatal(err)
		}
		want := authentication.History{Registered: true, Verified: v.EmailVerified, Role: v.Role,
			Deactivated: v.State == authentication.StateDeactivated && v.DeactivatedBy != authentication.ByConfirmation}
		if got := rebuilt(); got != want {
			t.Fatalf("seed %d, after %s the events tell %+v, stored is %+v", seed, step, got, want)
		}
		seen[want] = true
	}
	check("sign-up")
	for range 40 {
		now = now.Add(20 * time.Minute) // no guard slows it down
		name := names[luck.IntN(len(names))]
		steps[name]()
		check(name)
	}
	if len(seen) < 4 {
		t.Errorf("seed %d: only %d states were met", seed, len(seen))
	}
	if err := s.EraseAccount(ctx, authentication.AtTheMachine, id); err != nil {
		t.Fatal(err)
	}
	if got := rebuilt(); got != (authentication.History{Erased: true}) {
		t.Errorf("the events of an erased account tell %+v", got)
	}
	if r, err := trail.Verify(ctx, ""); err != nil || len(r.Findings) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
