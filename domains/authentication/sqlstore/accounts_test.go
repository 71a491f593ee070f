package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// TestLogoutEverywhereReachesOtherNodes over real SQL: the access tokens of
// all logins are refused by a node that only polls.
func TestLogoutEverywhereReachesOtherNodes(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, b := service(t, db), service(t, db)
		up, err := a.SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		in, err := a.Login(t.Context(), authentication.LoginInput{Email: "ana@example.com", Password: "correct horse", Device: "phone"})
		if err != nil {
			t.Fatal(err)
		}
		if list, err := b.Logins(t.Context(), up.Learner.ID, ""); err != nil || len(list) != 2 || list[0].Device != "phone" {
			t.Fatalf("got %+v, %v", list, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.Run(ctx) })
		defer wg.Wait()
		defer stop()
		if err := a.Logout(t.Context(), authentication.LogoutInput{RefreshToken: in.Tokens.RefreshToken, All: true}); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{up.Tokens.AccessToken, in.Tokens.AccessToken} {
			testenv.EventuallyTrue(t, time.Minute, "the other node refuses the token", func() bool {
				_, err := b.Verify(t.Context(), token)
				return fault.CodeOf(err) == fault.Unauthenticated
			})
		}
		if list, err := b.Logins(t.Context(), up.Learner.ID, ""); err != nil || len(list) != 0 {
			t.Fatalf("got %+v, %v, want none", list, err)
		}
	})
}

func TestSecretsWorkOnceAndInTime(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store := sqlstore.New(db)
		up, err := service(t, db).SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		add := func(hash string, age, ttl time.Duration) {
			t.Helper()
			err := store.AddSecret(t.Context(), authentication.Secret{Hash: authentication.TokenHash(hash), Learner: up.Learner.ID,
				Purpose: authentication.ForPassword, Email: "ana@example.com", CreatedAt: now.Add(-age), ExpiresAt: now.Add(-age).Add(ttl)}, 3)
			if err != nil {
				t.Fatal(err)
			}
		}
		find := func(hash string, p authentication.Purpose) bool {
			t.Helper()
			x, err := store.FindSecret(t.Context(), authentication.TokenHash(hash), p)
			if err != nil && !errors.Is(err, authentication.ErrNoSecret) {
				t.Fatal(err)
			}
			return err == nil && x.Learner == up.Learner.ID && x.Email == "ana@example.com"
		}
		for i := range 5 {
			add(fmt.Sprint("s", i), time.Duration(10-i)*time.Minute, time.Hour)
		}
		var live []string
		for i := range 5 {
			if h := fmt.Sprint("s", i); find(h, authentication.ForPassword) {
				live = append(live, h)
			}
		}
		if !slices.Equal(live, []string{"s2", "s3", "s4"}) {
			t.Fatalf("%v are kept, want the newest three", live)
		}
		if find("s4", authentication.ForEmail) {
			t.Fatal("found for another purpose")
		}
		add("old", 2*time.Hour, time.Hour)
		if find("old", authentication.ForPassword) {
			t.Fatal("found after its time")
		}
		if _, err := store.TakeSecret(t.Context(), "old", authentication.ForPassword); !errors.Is(err, authentication.ErrNoSecret) {
			t.Fatalf("took an old one: %v", err)
		}
		var mu sync.Mutex
		took := 0
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, err := store.TakeSecret(t.Context(), "s4", authentication.ForPassword)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					took++
				} else if !errors.Is(err, authentication.ErrNoSecret) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took != 1 {
			t.Fatalf("taken %d times", took)
		}
		if _, err := store.Sweep(t.Context(), authentication.SweepBefore{Ends: now, Links: now}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM mail_secrets"); n != 1 {
			t.Fatalf("%d left after the sweep, want 1", n)
		}
		if err := store.DropSecrets(t.Context(), up.Learner.ID, authentication.ForPassword); err != nil || find("s3", authentication.ForPassword) {
			t.Fatalf("still there (%v)", err)
		}
		err = store.AddSecret(t.Context(), authentication.Secret{Hash: "x", Learner: "nobody", Purpose: authentication.ForEmail}, 3)
		if !errors.Is(err, authentication.ErrNoLearner) {
			t.Fatalf("got %v, want no learner", err)
		}
	})
}

func TestRemoveTakesEverything(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store := sqlstore.New(db)
		up, err := service(t, db).SignUp(t.Context(), signUp())
		if err != nil {
			t.Fatal(err)
		}
		err = store.AddSecret(t.Context(), authentication.Secret{Hash: "x", Learner: up.Learner.ID, Purpose: authentication.ForEmail}, 3)
		if err != nil {
			t.Fatal(err)
		}
		err = store.Update(t.Context(), up.Learner.ID, func(ctx context.Context, l *authentication.Learner, _ time.Time) error {
			if _, err := store.EndLogins(ctx, l.ID(), "", authentication.RevokedLogout); err != nil {
				return err
			}
			return store.Remove(ctx, l.ID())
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"learners", "refresh_families", "refresh_tokens", "mail_secrets"} {
			if n := count(t, db, "SELECT count(*) FROM "+table); n != 0 {
				t.Errorf("%d rows left in %s", n, table)
			}
		}
		ended, _, err := store.Ended(t.Context(), time.Time{})
		if err != nil || len(ended) != 1 || ended[0].Learner != up.Learner.ID {
			t.Fatalf("got %+v, %v: the end of the login must outlive the account", ended, err)
		}
	})
}

func TestLearnersAreListed(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store, s := sqlstore.New(db), service(t, db)
		var ids []authentication.LearnerID
		for _, email := range []string{"ana_1@example.com", "anaX1@example.com", "ben@example.com"} {
			in := signUp()
			in.Email = email
			up, err := s.SignUp(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, up.Learner.ID)
		}
		slices.Reverse(ids) // newest first
		for _, c := range []struct {
			email  string
			before authentication.LearnerID
			limit  int
			want   []authentication.LearnerID
		}{
			{"", "", 10, ids}, {"", "", 2, ids[:2]}, {"", ids[0], 10, ids[1:]}, {"ana_", "", 10, ids[2:]}, {"%", "", 10, nil}, {"ana", "", 10, ids[1:]},
		} {
			list, err := store.Learners(t.Context(), c.email, c.before, c.limit)
			var got []authentication.LearnerID
			for _, l := range list {
				got = append(got, l.ID())
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v: got %v, %v", c, got, err)
			}
		}
	})
}
