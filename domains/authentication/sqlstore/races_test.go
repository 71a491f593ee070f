package sqlstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// configured is service with settings; mails are caught by outbox.
func configured(t *testing.T, db *sqldb.DB, change func(*authentication.Config)) *authentication.Service {
	t.Helper()
	cfg := authentication.Config{Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1}, HashQueue: 1000, AnswerAfter: -1}
	change(&cfg)
	s, err := authentication.New(t.Context(), sqlstore.New(db), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func resetToken(t *testing.T, s *authentication.Service, l authentication.LearnerID) string {
	t.Helper()
	link, _, err := s.PasswordLink(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(link, "#/reset-password/")
	return token
}

func TestResetTokenIsSingleUseUnderRace(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := service(t, db)
		up, err := s.SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		token := resetToken(t, s, up.Learner.ID)
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				switch err := s.ResetPassword(t.Context(), token, "tulip under glass"); {
				case err == nil:
					won.Add(1)
				case fault.CodeOf(err) != fault.LinkInvalid:
					t.Error(err)
				}
			})
			wg.Go(func() { // a change by the old password crosses it; neither may hang or lose
				err := s.ChangePassword(t.Context(), authentication.ChangePasswordInput{
					ConfirmedInput: authentication.ConfirmedInput{Learner: up.Learner.ID, Password: "not the password"}, NewPassword: "tulip under glass"})
				if c := fault.CodeOf(err); c != fault.Invalid && c != fault.RateLimited {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d won", won.Load())
		}
		if n := count(t, db, "SELECT count(*) FROM mail_secrets"); n != 0 {
			t.Fatalf("%d secrets left", n)
		}
	})
}

func TestConfirmedSignUpsInParallelGiveOneAccount(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := configured(t, db, func(cfg *authentication.Config) { cfg.ConfirmSignUp = true })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if out, err := s.SignUp(t.Context(), signUp()); err != nil || !out.Pending {
					t.Errorf("got %+v, %v", out, err)
				}
			})
		}
		wg.Wait()
		if n := count(t, db, "SELECT count(*) FROM learners"); n != 1 {
			t.Fatalf("%d accounts", n)
		}
	})
}

// rows is the content of every table that a use case of accounts writes to.
func rows(t *testing.T, db *sqldb.DB) string {
	t.Helper()
	var b strings.Builder
	for _, q := range []string{
		"SELECT id || email || full_name || password_hash || role || pending_email || coalesce(email_verified_at, 0) || coalesce(deactivated_at, 0) || version FROM learners ORDER BY id",
		"SELECT id || coalesce(revoked_at, 0) || revoked_for FROM refresh_families ORDER BY id",
		"SELECT hash FROM refresh_tokens ORDER BY hash", "SELECT hash FROM mail_secrets ORDER BY hash", "SELECT family FROM ended_logins ORDER BY family",
	} {
		list, err := db.Conn(t.Context()).QueryContext(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for list.Next() {
			var s string
			if err := list.Scan(&s); err != nil {
				t.Fatal(err)
			}
			b.WriteString(s + "\n")
		}
		if err := errors.Join(list.Err(), list.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestKillBetweenWritesLeavesNothing: the last write of each use case fails;
// every write before it is taken back, on both engines.
func TestKillBetweenWritesLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(ctx context.Context, s *authentication.Service, l authentication.LearnerID, token string) error{
		"sign-up": func(ctx context.Context, s *authentication.Service, _ authentication.LearnerID, _ string) error {
			in := signUp()
			in.Email = "new@example.com"
			_, err := s.SignUp(ctx, in)
			return err
		},
		"change password": func(ctx context.Context, s *authentication.Service, l authentication.LearnerID, _ string) error {
			return s.ChangePassword(ctx, authentication.ChangePasswordInput{
				ConfirmedInput: authentication.ConfirmedInput{Learner: l, Password: "correct horse"}, NewPassword: "tulip under glass"})
		},
		"reset password": func(ctx context.Context, s *authentication.Service, _ authentication.LearnerID, token string) error {
			return s.ResetPassword(ctx, token, "tulip under glass")
		},
		"deactivate": func(ctx context.Context, s *authentication.Service, l authentication.LearnerID, _ string) error {
			return s.Deactivate(ctx, authentication.ConfirmedInput{Learner: l, Password: "correct horse"})
		},
		"erase": func(ctx context.Context, s *authentication.Service, l authentication.LearnerID, _ string) error {
			return s.Erase(ctx, authentication.ConfirmedInput{Learner: l, Password: "correct horse"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				var broken atomic.Bool
				s := configured(t, db, func(cfg *authentication.Config) {
					cfg.Events = events.RecorderFunc(func(context.Context, ...events.Event) error {
						if broken.Load() {
							return errTest
						}
						return nil
					})
				})
				up, err := s.SignUp(t.Context(), signUp())
				if err != nil {
					t.Fatal(err)
				}
				token := resetToken(t, s, up.Learner.ID)
				before := rows(t, db)
				broken.Store(true)
				if err := do(t.Context(), s, up.Learner.ID, token); !errors.Is(err, errTest) {
					t.Fatalf("got %v", err)
				}
				if after := rows(t, db); after != before {
					t.Fatalf("left\n%s\ninstead of\n%s", after, before)
				}
				broken.Store(false)
				if err := do(t.Context(), s, up.Learner.ID, token); err != nil {
					t.Fatalf("the repetition: %v", err)
				}
				if rows(t, db) == before {
					t.Fatal("the repetition did nothing")
				}
			})
		})
	}
}
