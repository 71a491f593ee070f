package sqlstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func service(t *testing.T, db *sqldb.DB) *authentication.Service {
	t.Helper()
	s, err := authentication.New(t.Context(), sqlstore.New(db), authentication.Config{
		Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1}, HashQueue: 1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signUp() authentication.SignUpInput {
	return authentication.SignUpInput{
		Email: "Ana@Example.com", Password: "correct horse", FullName: "O'Neill \u9673 'x' ?; --",
		AcceptTerms: true, AgeConfirmed: true,
	}
}

var errTest = errors.New("on purpose")

func nothing(context.Context) error { return nil }

func count(t *testing.T, db *sqldb.DB, query string) (n int) {
	t.Helper()
	if err := db.Conn(t.Context()).QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestJourney(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := service(t, db)
		up, err := s.SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		in, err := s.Login(t.Context(), authentication.LoginInput{Email: "ana@example.com", Password: "correct horse"})
		if err != nil || in.Learner != up.Learner || in.Learner.FullName != signUp().FullName {
			t.Fatalf("got %+v, %v, want %+v", in.Learner, err, up.Learner)
		}
		next, err := s.Refresh(t.Context(), in.Tokens.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		asked := db.Queries()
		id, err := s.Verify(t.Context(), next.Tokens.AccessToken)
		if err != nil || id.LearnerID != up.Learner.ID {
			t.Fatalf("got %+v, %v", id, err)
		}
		if n := db.Queries() - asked; n != 0 {
			t.Fatalf("verify made %d SQL queries", n)
		}
		if err := s.Logout(t.Context(), authentication.LogoutInput{Learner: id.LearnerID, Family: id.SessionFamily}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Refresh(t.Context(), next.Tokens.RefreshToken); fault.CodeOf(err) != fault.Unauthenticated {
			t.Fatalf("got %v, want unauthenticated", err)
		}
		// The login of the sign-up is another family and lives on.
		if _, err := s.Refresh(t.Context(), up.Tokens.RefreshToken); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOneEmailGivesOneAccount(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := service(t, db)
		var made, taken atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := s.SignUp(t.Context(), signUp())
				switch {
				case err == nil:
					made.Add(1)
				case errors.Is(err, authentication.ErrEmailTaken):
					taken.Add(1)
				default:
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 || taken.Load() != 99 {
			t.Fatalf("%d made, %d taken", made.Load(), taken.Load())
		}
		if l, f := count(t, db, "SELECT count(*) FROM learners"), count(t, db, "SELECT count(*) FROM refresh_families"); l != 1 || f != 1 {
			t.Fatalf("%d learners, %d families, want one of each", l, f)
		}
	})
}

func TestNodesStartingAtOnceShareAKey(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		nodes := make([]*authentication.Service, 10)
		var wg sync.WaitGroup
		for i := range nodes {
			wg.Go(func() {
				s, err := authentication.New(t.Context(), sqlstore.New(db), authentication.Config{
					Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1},
				})
				if err != nil {
					t.Error(err)
				}
				nodes[i] = s
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		if n := count(t, db, "SELECT count(*) FROM signing_keys"); n != 1 {
			t.Fatalf("%d keys, want 1", n)
		}
		up, err := nodes[0].SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if _, err := n.Verify(t.Context(), up.Tokens.AccessToken); err != nil {
				t.Fatal(err)
			}
		}
		// A key made elsewhere later is learned from its first token.
		if err := nodes[1].ReplaceSigningKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		next, err := nodes[1].Refresh(t.Context(), up.Tokens.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nodes[2].Verify(t.Context(), next.Tokens.AccessToken); err != nil {
			t.Fatal(err)
		}
		// And a key that was withdrawn is no longer taken.
		for _, n := range nodes[1:3] {
			if _, err := n.Verify(t.Context(), up.Tokens.AccessToken); fault.CodeOf(err) != fault.Unauthenticated {
				t.Fatalf("got %v, want unauthenticated", err)
			}
		}
		if n := count(t, db, "SELECT count(*) FROM signing_keys"); n != 1 {
			t.Fatalf("%d keys, want the new one", n)
		}
		if err := nodes[3].RotateSigningKey(t.Context()); err != nil { // it knew key 1 only, so it loses the race for number 2
			t.Fatal(err)
		}
		if err := nodes[3].RotateSigningKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT max(n) FROM signing_keys"); n != 3 {
			t.Fatalf("key %d, want 3", n)
		}
	})
}

func TestReuseIsStored(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := service(t, db)
		up, err := s.SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		token := up.Tokens.RefreshToken
		for range 2 {
			out, err := s.Refresh(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			token = out.Tokens.RefreshToken
		}
		for _, old := range []string{up.Tokens.RefreshToken, token} {
			if _, err := s.Refresh(t.Context(), old); fault.CodeOf(err) != fault.RefreshReused {
				t.Fatalf("got %v, want refresh_reused", err)
			}
		}
		if n := count(t, db, "SELECT count(*) FROM refresh_families WHERE revoked_for = 'reuse' AND revoked_at IS NOT NULL"); n != 1 {
			t.Fatalf("%d families revoked, want 1", n)
		}
	})
}

// TestParallelRefresh is two tabs with one cookie: every answer is a pair, and
// the family has moved on by one.
func TestParallelRefresh(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := service(t, db)
		up, err := s.SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := s.Refresh(t.Context(), up.Tokens.RefreshToken); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, db, "SELECT generation FROM refresh_families"); n != 2 {
			t.Fatalf("generation %d, want 2", n)
		}
		if n := count(t, db, "SELECT count(*) FROM refresh_tokens"); n != 11 {
			t.Fatalf("%d tokens, want 11", n)
		}
	})
}

func TestExpiredFamiliesGoAtLogin(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := service(t, db)
		up, err := s.SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Conn(t.Context()).ExecContext(t.Context(), "UPDATE refresh_families SET expires_at = 1"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Refresh(t.Context(), up.Tokens.RefreshToken); fault.CodeOf(err) != fault.TokenExpired {
			t.Fatalf("got %v, want token_expired", err)
		}
		if _, err := s.Login(t.Context(), authentication.LoginInput{Email: "ana@example.com", Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
		f, k := count(t, db, "SELECT count(*) FROM refresh_families"), count(t, db, "SELECT count(*) FROM refresh_tokens")
		if f != 1 || k != 1 {
			t.Fatalf("%d families, %d tokens, want the new one only", f, k)
		}
	})
}

func TestRecordsSurviveStorage(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store := sqlstore.New(db)
		now := time.UnixMicro(time.Now().UnixMicro())
		l := authentication.RehydrateLearner(authentication.LearnerRecord{
			ID: "l1", Email: "a@b.co", FullName: "A B", PasswordHash: "h", DateOfBirth: "1990-02-03", Role: "operator", PendingEmail: "c@d.co",
			EmailVerifiedAt: now.Add(2 * time.Second), DeactivatedAt: now.Add(3 * time.Second), DeactivatedBy: "learner",
			ConsentedAt: now, CreatedAt: now.Add(time.Second), Version: 4,
		})
		f := authentication.RehydrateFamily(authentication.FamilyRecord{
			ID: "f1", Learner: "l1", Generation: 7, CreatedAt: now, RotatedAt: now.Add(1), ExpiresAt: now.Add(time.Hour), IdleUntil: now.Add(time.Minute),
		})
		if err := store.Register(t.Context(), l, f, "t1", nothing); err != nil {
			t.Fatal(err)
		}
		got, err := store.ByID(t.Context(), "l1")
		if err != nil || got.Record() != l.Record() {
			t.Fatalf("got %+v, %v, want %+v", got, err, l)
		}
		if _, err := store.ByEmail(t.Context(), "x@b.co"); !errors.Is(err, authentication.ErrNoLearner) {
			t.Fatalf("got %v, want no learner", err)
		}
		err = store.Update(t.Context(), "l1", func(_ context.Context, l *authentication.Learner, _ time.Time) error {
			if err := l.Rename("B C"); err != nil {
				return err
			}
			return errTest
		})
		if !errors.Is(err, errTest) {
			t.Fatalf("got %v, want the function's own error", err)
		}
		if got, err = store.ByID(t.Context(), "l1"); err != nil || got.Record() != l.Record() {
			t.Fatalf("a failed change was stored: %+v, %v", got, err)
		}
		err = store.UseToken(t.Context(), "t1", func(f *authentication.Family, generation int64, clock time.Time) *authentication.TokenHash {
			r := f.Record()
			if generation != 7 || r.Generation != 7 || !r.ExpiresAt.Equal(now.Add(time.Hour)) || !r.RevokedAt.IsZero() || clock.Sub(now).Abs() > time.Minute {
				t.Errorf("got generation %d, %+v at %v", generation, r, clock)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = store.UseToken(t.Context(), "t2", func(*authentication.Family, int64, time.Time) *authentication.TokenHash { return nil })
		if !errors.Is(err, authentication.ErrNoToken) {
			t.Fatalf("got %v, want no token", err)
		}
	})
}

func TestStorageFailureHasItsCode(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	s := service(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignUp(t.Context(), signUp()); fault.CodeOf(err) != fault.StorageUnavailable {
		t.Fatalf("got %v, want storage_unavailable", err)
	}
	if _, err := s.Me(t.Context(), "x"); fault.CodeOf(err) != fault.StorageUnavailable {
		t.Fatalf("got %v, want storage_unavailable", err)
	}
}
