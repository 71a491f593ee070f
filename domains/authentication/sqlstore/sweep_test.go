package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/domains/events"
	eventsql "github.com/fluentpro/fluentpro/domains/events/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// swept is a service whose clock a test moves, with what its mails say.
type swept struct {
	*authentication.Service
	t     *testing.T
	db    *sqldb.DB
	trail *eventsql.Store
	now   time.Time
}

func newSwept(t *testing.T, db *sqldb.DB, confirm bool, keep time.Duration) *swept {
	t.Helper()
	s := &swept{t: t, db: db, trail: eventsql.New(db, eventsql.Options{}), now: time.Now()}
	var err error
	s.Service, err = authentication.New(t.Context(), sqlstore.New(db), authentication.Config{
		Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1}, HashQueue: 1000, AnswerAfter: -1, Now: func() time.Time { return s.now },
		ConfirmSignUp: confirm, KeepLogins: 24 * time.Hour, KeepUnconfirmed: keep, Events: s.trail,
		Mailer: authentication.MailerFunc(func(context.Context, authentication.Mail) error { return nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *swept) apply(n int) {
	s.t.Helper()
	in := signUp()
	in.Email = fmt.Sprintf("ana%d@example.com", n)
	if _, err := s.SignUp(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
}

func (s *swept) sweep(want authentication.Swept) {
	s.t.Helper()
	if got, err := s.Sweep(s.t.Context()); err != nil || got != want {
		s.t.Fatalf("swept %+v, %v, want %+v", got, err, want)
	}
}

// Logins that expired, were idle too long or ended go a day after, with their
// refresh tokens; those that live stay. Links go with their time.
func TestSweepForgetsWhatIsOver(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newSwept(t, db, false, time.Hour)
		ctx := t.Context()
		s.apply(1)
		login := func() authentication.SignedIn {
			t.Helper()
			in, err := s.Login(ctx, authentication.LoginInput{Email: "ana1@example.com", Password: "correct horse"})
			if err != nil {
				t.Fatal(err)
			}
			return in
		}
		out := login()
		if err := s.Logout(ctx, authentication.LogoutInput{RefreshToken: out.Tokens.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		if err := s.MailPasswordReset(ctx, out.Learner.ID); err != nil {
			t.Fatal(err)
		}
		s.sweep(authentication.Swept{})
		s.now = s.now.Add(authentication.PasswordLinkTTL + time.Minute)
		s.sweep(authentication.Swept{Links: 1})
		s.now = s.now.Add(25 * time.Hour) // the account is unproven, and in use
		s.sweep(authentication.Swept{Ends: 1, Logins: 1})
		s.now = s.now.Add(authentication.RefreshIdle - 24*time.Hour)
		fresh := login()
		s.now = s.now.Add(23 * time.Hour)
		s.sweep(authentication.Swept{Logins: 1}) // the sign-up's, which nobody refreshed
		if n := count(t, db, "SELECT count(*) FROM refresh_families"); n != 1 {
			t.Fatalf("%d logins are left, want the one that lives", n)
		}
		if n := count(t, db, "SELECT count(*) FROM refresh_tokens"); n != 1 {
			t.Fatalf("%d refresh tokens are left, want 1", n)
		}
		if _, err := s.Refresh(ctx, fresh.Tokens.RefreshToken); err != nil {
			t.Fatalf("the login that lives: %v", err)
		}
		if n := count(t, db, "SELECT count(*) FROM learners"); n != 1 {
			t.Fatal("an account that was usable at once was erased")
		}
	})
}

// More than one statement's worth goes in one sweep.
func TestSweepOfMany(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newSwept(t, db, false, 0)
		if err := db.InTx(t.Context(), func(ctx context.Context) error {
			for n := range 2500 {
				if _, err := db.Conn(ctx).ExecContext(ctx, "INSERT INTO ended_logins (family, learner_id, ended_at) VALUES (?, 'ann', 1)", fmt.Sprint(n)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		s.sweep(authentication.Swept{Ends: 2500})
	})
}

// An account that a mail was to confirm goes after its time, with an event,
// and its address is free; not while a link works, and not once confirmed.
func TestSweepErasesUnconfirmedAccounts(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		const keep = 30 * 24 * time.Hour
		s := newSwept(t, db, true, keep)
		ctx := t.Context()
		id := func(n int) (id authentication.LearnerID) {
			t.Helper()
			if err := db.Conn(ctx).QueryRowContext(ctx, "SELECT id FROM learners WHERE email = ?", fmt.Sprintf("ana%d@example.com", n)).Scan(&id); err != nil {
				t.Fatal(err)
			}
			return id
		}
		for n := 1; n <= 3; n++ {
			s.apply(n)
		}
		if err := s.Restore(ctx, authentication.AtTheMachine, id(2)); err != nil { // confirmed by an operator
			t.Fatal(err)
		}
		s.sweep(authentication.Swept{})
		s.now = s.now.Add(keep - time.Hour)
		if err := s.MailVerification(ctx, id(3)); err != nil { // asked for anew, at the last moment
			t.Fatal(err)
		}
		s.sweep(authentication.Swept{})
		s.now = s.now.Add(2 * time.Hour)
		gone := id(1)
		s.sweep(authentication.Swept{Accounts: 1})
		evs, err := s.trail.Read(ctx, events.Query{Aggregate: events.Aggregate{Kind: "learner", ID: string(gone)}})
		if last := evs[len(evs)-1]; err != nil || last.Type != "learner.erased" || last.Actor != "system" {
			t.Fatalf("the trail ends with %+v, %v", last, err)
		}
		id(2)
		id(3)
		s.apply(1) // the address is free
		s.now = s.now.Add(authentication.EmailLinkTTL)
		s.sweep(authentication.Swept{Links: 1, Accounts: 1})
		id(1)
		id(2)
		if n := count(t, db, "SELECT count(*) FROM learners"); n != 2 {
			t.Fatalf("%d accounts, want 2", n)
		}
		never := newSwept(t, db, true, 0)
		never.now = s.now.Add(100 * keep)
		never.sweep(authentication.Swept{})
	})
}

// Many sweeps at once, on many nodes, and a confirmation among them: each
// account is erased once or confirmed, never both.
func TestSweepsAndConfirmationAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := newSwept(t, db, true, 48*time.Hour)
		ctx := t.Context()
		for n := range 10 {
			s.apply(n)
		}
		s.now = s.now.Add(49 * time.Hour)
		var ids []authentication.LearnerID
		list, err := sqlstore.New(db).Unconfirmed(ctx, s.now, s.now, 100)
		if err != nil || len(list) != 10 {
			t.Fatalf("%v, %v", list, err)
		}
		ids = append(ids, list...)
		var wg sync.WaitGroup
		var mu sync.Mutex
		erased, confirmed := int64(0), int64(0)
		for n := range 4 {
			wg.Go(func() {
				got, err := s.Sweep(ctx)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				erased += got.Accounts
			})
			wg.Go(func() {
				if s.Restore(ctx, authentication.AtTheMachine, ids[2*n]) == nil {
					mu.Lock()
					defer mu.Unlock()
					confirmed++
				}
			})
		}
		wg.Wait()
		left := int64(count(t, db, "SELECT count(*) FROM learners"))
		told := int64(count(t, db, "SELECT count(*) FROM events WHERE type = 'learner.erased'"))
		if erased+confirmed != 10 || left != confirmed || told != erased {
			t.Fatalf("%d erased, %d confirmed, %d left, %d events", erased, confirmed, left, told)
		}
	})
}
