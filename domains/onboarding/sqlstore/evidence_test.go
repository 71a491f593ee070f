package sqlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/embedding"
	"github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// custom is a walk in a learner's own words, each of which holds the secret.
func custom(secret string) []struct{ step, value string } {
	return []struct{ step, value string }{
		{"language", `{"language":"de"}`},
		{"industry", `{"other":"Industry ` + secret + `"}`},
		{"job", `{"title":"Job ` + secret + `","description":"I do ` + secret + ` all day."}`},
		{"role", `{"custom":{"title":"Role ` + secret + `","description":"Responsible for ` + secret + `."}}`},
		{"partners", `{"partners":[{"custom":"Partner ` + secret + `"},{"partner":"customers"}]}`},
		{"situations", `{"situations":[{"partner":"customers","situations":[{"custom":"Situation ` + secret + `"}]},{"partner":"custom:Partner ` + secret + `","situations":[{"situation":"meetings"}]}]}`},
		{"level", `{"level":"B2"}`},
		{"summary", `{"confirmed":true}`},
	}
}

// everything is all that a learner can read of onboarding.
func everything(ctx context.Context, s *onboarding.Service, who onboarding.LearnerID) (string, error) {
	var all []any
	add := func(v any, err error) error {
		all = append(all, v)
		return err
	}
	err := errors.Join(
		func() error { v, err := s.Get(ctx, who); return add(v, err) }(),
		func() error { v, err := s.View(ctx, who); return add(v, err) }(),
		func() error { v, err := s.RoleMatches(ctx, who); return add(v, err) }(),
	)
	for _, st := range onboarding.Steps {
		v, e := s.Step(ctx, who, string(st))
		err = errors.Join(err, add(v, e))
	}
	for _, kind := range []string{"languages", "industries", "roles", "partners", "situations", "levels"} {
		v, e := s.Options(kind, "")
		err = errors.Join(err, add(v, e))
	}
	raw, e := json.Marshal(all)
	return string(raw), errors.Join(err, e)
}

// TestOwnWordsStayWithTheirOwner has learners answer in parallel, over and
// over, in words of their own: none ever reads a word of another.
func TestOwnWordsStayWithTheirOwner(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := onboarding.New(sqlstore.New(db), nil, nil)
		learners := []string{"ana", "bob", "eve"}
		secret := func(who string) string { return "secret-of-" + who }
		var wg sync.WaitGroup
		for _, who := range learners {
			wg.Go(func() {
				for range 4 {
					for _, a := range custom(secret(who)) {
						if _, err := s.Answer(t.Context(), onboarding.LearnerID(who), a.step, json.RawMessage(a.value)); err != nil {
							t.Errorf("%s %s: %v", who, a.step, err)
							return
						}
					}
					got, err := everything(t.Context(), s, onboarding.LearnerID(who))
					if err != nil {
						t.Error(err)
						return
					}
					if n := strings.Count(got, secret(who)); n < 8 {
						t.Errorf("%s reads own words %d times only", who, n)
					}
					for _, other := range learners {
						if other != who && strings.Contains(got, secret(other)) {
							t.Errorf("%s reads words of %s", who, other)
						}
					}
					// The name of another's custom partner is no name here.
					if _, err := s.Answer(t.Context(), onboarding.LearnerID(who), "partners", json.RawMessage(`{"partners":[{"partner":"custom:Partner `+secret(learners[0])+`x"}]}`)); err == nil {
						t.Errorf("%s chose a partner of another", who)
					}
				}
			})
		}
		wg.Wait()
		// Who has told nothing reads nothing of anybody.
		if _, err := s.Answer(t.Context(), "new", "language", json.RawMessage(`{"language":"de"}`)); err != nil {
			t.Fatal(err)
		}
		if got, _ := everything(t.Context(), s, "new"); strings.Contains(got, "secret-of-") {
			t.Fatal("a new learner reads words of others")
		}
	})
}

// TestOneOfTwoSavesWins reads one profile twice and saves both: the second
// writer starts from what the first has stored, so neither's answer is lost,
// and one that would break a rule then is refused.
func TestOneOfTwoSavesWins(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		store := sqlstore.New(db)
		both := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				err := store.Update(t.Context(), "ana", func(p *onboarding.Profile) error {
					once.Do(func() { close(both) })
					<-both
					if p.Record().Version == 0 {
						return p.Answer(onboarding.LanguageAnswer{Language: "de"})
					}
					return p.Answer(onboarding.IndustryAnswer{Industry: "insurance"})
				})
				if err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		p, err := store.Get(t.Context(), "ana")
		if err != nil || p.Record().Version != 2 || p.Open() != onboarding.StepJob {
			t.Fatalf("%+v, %v: an answer was lost", p.Record(), err)
		}
	})
}

// The child's variables: where to die, and in which database.
const (
	envDie = "FLUENTPRO_TEST_DIE"
	envURL = "FLUENTPRO_TEST_DIE_URL"
)

// die ends this process as kill -9 does: nothing is rolled back or closed.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// TestDying is the child of TestKilledBetweenWrites: one unit of work of two
// stores that dies at the place it is told.
func TestDying(t *testing.T) {
	where := os.Getenv(envDie)
	if where == "" {
		return // not a child
	}
	db, err := sqldb.Open(t.Context(), os.Getenv(envURL), sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := func(place string) {
		if place == where {
			die()
		}
	}
	err = db.InTx(t.Context(), func(ctx context.Context) error {
		if err := sqlstore.New(db).Update(ctx, "ana", func(p *onboarding.Profile) error {
			at("between insert and update")
			return p.Answer(onboarding.LanguageAnswer{Language: "ja"})
		}); err != nil {
			return err
		}
		at("between two stores")
		if err := sqlstore.NewVectors(db).Save(ctx, "m", []embedding.Vector{{Role: "r", Digest: "d", Values: []float32{1}}}); err != nil {
			return err
		}
		at("before the commit")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	at("after the commit")
	t.Fatal("did not die")
}

// TestKilledBetweenWrites kills a real process at every place of a unit of
// work: before the commit nothing of it is there, after it everything.
func TestKilledBetweenWrites(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	urls := map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "k.db") },
		"postgres": func(t *testing.T) string { return sqldbtest.PostgresURL(t) },
		"pooled":   func(t *testing.T) string { return sqldbtest.PooledURL(t) },
	}
	for engine, urlOf := range urls {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			url := urlOf(t)
			// look opens the database as the next process would.
			look := func(fn func(*sqldb.DB)) {
				t.Helper()
				db, err := sqldb.Open(t.Context(), url, sqldb.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = db.Close() }()
				fn(db)
			}
			look(func(db *sqldb.DB) {
				if err := db.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			for _, c := range []struct {
				where string
				done  bool
			}{
				{"between insert and update", false}, {"between two stores", false}, {"before the commit", false}, {"after the commit", true},
			} {
				cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestDying$")
				cmd.Env = append(os.Environ(), envDie+"="+c.where, envURL+"="+url)
				out, err := cmd.CombinedOutput()
				if cmd.ProcessState.String() != "signal: killed" {
					t.Fatalf("%s: the child was not killed: %v\n%s", c.where, err, out)
				}
				look(func(db *sqldb.DB) {
					p, err := sqlstore.New(db).Get(t.Context(), "ana")
					if err != nil {
						t.Fatal(err)
					}
					vectors, err := sqlstore.NewVectors(db).Load(t.Context(), "m")
					if err != nil {
						t.Fatal(err)
					}
					got := fmt.Sprintf("version %d, language %q, %d vectors", p.Record().Version, p.Record().Language, len(vectors))
					want := `version 0, language "", 0 vectors`
					if c.done {
						want = `version 1, language "ja", 1 vectors`
					}
					if got != want {
						t.Errorf("killed %s: %s, want %s", c.where, got, want)
					}
				})
			}
		})
	}
}
