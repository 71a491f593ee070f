package embedding_test

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/embedding"
	"github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// meanings is what the model of these tests knows of Chinese.
var meanings = strings.NewReplacer("保險", " insurance ", "理賠", " claims settlement ", "損失", " damage ", "客戶", " policyholders ", "調查", " investigation ")

// model is an embedder whose vectors are nearer the more words two texts
// share, whatever their language.
type model struct {
	mu         sync.Mutex
	dimensions int
	texts      []string
	spoil      func([][]float32) ([][]float32, error)
}

func (m *model) Embed(_ context.Context, _ string, texts []string) ([][]float32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.texts = append(m.texts, texts...)
	out := make([][]float32, len(texts))
	for i, t := range texts {
		v := make([]float32, m.dimensions)
		v[0] = 0.1
		for _, w := range strings.FieldsFunc(strings.ToLower(meanings.Replace(t)), func(r rune) bool { return !unicode.IsLetter(r) }) {
			h := fnv.New32a()
			_, _ = h.Write([]byte(w))
			v[h.Sum32()%uint32(m.dimensions)]++
		}
		out[i] = v
	}
	if m.spoil != nil {
		return m.spoil(out)
	}
	return out, nil
}

// asked is how many texts were embedded since the last time.
func (m *model) asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.texts)
	m.texts = nil
	return n
}

func newModel() *model { return &model{dimensions: 1024} }

func newMatcher(m *model, name string, db *sqldb.DB) *embedding.Matcher {
	return embedding.New(name, m, sqlstore.NewVectors(db), resilience.New(resilience.Config{Service: "embeddings", Attempts: 1}), nil)
}

func question(learner, title, description, industry string) onboarding.Question {
	return onboarding.Question{Learner: onboarding.LearnerID(learner), Job: onboarding.Job{Title: title, Description: description},
		Industry: industry, Candidates: onboarding.Reference().RolesOf(industry)}
}

var chinese = question("ana", "理賠", "我調查客戶的損失和保險。", "insurance")

func match(t *testing.T, m onboarding.RoleMatcher, q onboarding.Question) []onboarding.RoleMatch {
	t.Helper()
	got, err := m.Match(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMeaningCrossesLanguages(t *testing.T) {
	t.Parallel()
	m := newMatcher(newModel(), "m", sqldbtest.SQLite(t))
	if got := match(t, onboarding.WordMatcher{}, chinese); len(got) != 0 {
		t.Fatalf("words alone find %+v: the test shows nothing", got)
	}
	got := match(t, m, chinese)
	if len(got) == 0 || len(got) > 5 || got[0].Role != "claims_adjuster" || got[0].Strength != onboarding.Strong {
		t.Fatalf("got %+v", got)
	}
	for _, r := range got {
		role, ok := onboarding.Reference().Role(r.Role)
		if !ok || role.Industry != "insurance" || r.Title != role.Title || r.Description != role.Description {
			t.Fatalf("got %+v", r)
		}
	}
	// What the words alone call strong stays so, and stays in front.
	got = match(t, m, question("ana", "Underwriter", "Brokers send me risks and I decide on terms and premium of the policy.", ""))
	if got[0].Role != "underwriter" || got[0].Strength != onboarding.Strong {
		t.Fatalf("got %+v", got)
	}
}

func TestVectorsAreComputedOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		em, roles := newModel(), len(onboarding.Reference().Roles)
		// Fifty learners at once on a new node: one index, a vector for each.
		m := newMatcher(em, "m", db)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				q := chinese
				q.Learner = onboarding.LearnerID(rune('a' + i))
				if got, err := m.Match(t.Context(), q); err != nil || len(got) == 0 || got[0].Role != "claims_adjuster" {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := em.asked(); n != roles+50 {
			t.Fatalf("%d texts were embedded, want each of %d roles once and a job of each learner", n, roles)
		}
		q := chinese
		q.Learner = "a"
		match(t, m, q)
		if n := em.asked(); n != 0 {
			t.Fatalf("%d texts for a question that was asked before", n)
		}
		q.Job.Description += "更多"
		match(t, m, q)
		if n := em.asked(); n != 1 {
			t.Fatalf("%d texts for a job that was changed", n)
		}
		// Another node, another start: from SQL.
		match(t, newMatcher(em, "m", db), chinese)
		if n := em.asked(); n != 1 {
			t.Fatalf("%d texts on the second node, want the job's only", n)
		}
		// Another model is another index and leaves the first alone.
		match(t, newMatcher(em, "m2", db), chinese)
		match(t, newMatcher(em, "m", db), chinese)
		if n := em.asked(); n != roles+2 {
			t.Fatalf("%d texts for a second model", n)
		}
		// Data that changed, a row that is damaged and one that is gone.
		for _, change := range []string{
			"UPDATE onboarding_role_vectors SET digest = 'old' WHERE model = 'm' AND role = 'concierge'",
			"UPDATE onboarding_role_vectors SET vector = '???' WHERE model = 'm' AND role = 'lawyer'",
			"DELETE FROM onboarding_role_vectors WHERE model = 'm' AND role = 'buyer'",
			"UPDATE onboarding_role_vectors SET role = 'gone' WHERE model = 'm' AND role = 'auditor'",
		} {
			if _, err := db.Conn(t.Context()).ExecContext(t.Context(), change); err != nil {
				t.Fatal(err)
			}
		}
		match(t, newMatcher(em, "m", db), chinese)
		if n := em.asked(); n != 4+1 {
			t.Fatalf("%d texts after four changes", n)
		}
		kept, err := sqlstore.NewVectors(db).Load(t.Context(), "m")
		if err != nil || len(kept) != roles || kept["gone"].Role != "" {
			t.Fatalf("%d vectors are kept, %v", len(kept), err)
		}
	})
}

func TestNothingFalseIsKept(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	nan := float32(math.NaN())
	for name, spoil := range map[string]func([][]float32) ([][]float32, error){
		"an error":       func([][]float32) ([][]float32, error) { return nil, down },
		"too few":        func(v [][]float32) ([][]float32, error) { return v[1:], nil },
		"not a number":   func(v [][]float32) ([][]float32, error) { v[len(v)/2][3] = nan; return v, nil },
		"all zeros":      func(v [][]float32) ([][]float32, error) { clear(v[0]); return v, nil },
		"infinite":       func(v [][]float32) ([][]float32, error) { v[0][0] = float32(math.Inf(1)); return v, nil },
		"of two lengths": func(v [][]float32) ([][]float32, error) { v[0] = v[0][1:]; return v, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := sqldbtest.SQLite(t)
			em := newModel()
			em.spoil = spoil
			m := newMatcher(em, "m", db)
			_, err := m.Match(t.Context(), chinese)
			if err == nil || name == "an error" && !errors.Is(err, down) || name != "an error" && fault.CodeOf(err) != fault.UpstreamInvalid {
				t.Fatalf("got %v", err)
			}
			if kept, err := sqlstore.NewVectors(db).Load(t.Context(), "m"); err != nil || len(kept) != 0 {
				t.Fatalf("%d vectors are kept, %v", len(kept), err)
			}
			// The learner gets what the words find, and somebody hears of it.
			var heard error
			q := question("ana", "Cashier", "I take deposits at the counter of a branch.", "banking_finance")
			got := match(t, onboarding.Or(m, onboarding.WordMatcher{}, func(err error) { heard = err }), q)
			if len(got) == 0 || got[0].Role != "bank_teller" || heard == nil {
				t.Fatalf("got %+v, heard %v", got, heard)
			}
			// And once the model is well, the real thing.
			em.spoil = nil
			if got := match(t, m, chinese); got[0].Role != "claims_adjuster" {
				t.Fatalf("got %+v", got)
			}
		})
	}
}

// TestAModelThatChangesItsLength begins anew instead of failing for ever.
func TestAModelThatChangesItsLength(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	em := newModel()
	m := newMatcher(em, "m", db)
	match(t, m, chinese)
	em.mu.Lock()
	em.dimensions = 768
	em.mu.Unlock()
	q := chinese
	q.Learner = "bob"
	if _, err := m.Match(t.Context(), q); fault.CodeOf(err) != fault.UpstreamInvalid {
		t.Fatalf("got %v", err)
	}
	if got := match(t, m, q); got[0].Role != "claims_adjuster" {
		t.Fatalf("got %+v", got)
	}
	// A node that finds a mixture in SQL computes all of it anew.
	if _, err := db.Conn(t.Context()).ExecContext(t.Context(), "UPDATE onboarding_role_vectors SET digest = 'old' WHERE role = 'lawyer'"); err != nil {
		t.Fatal(err)
	}
	em.mu.Lock()
	em.dimensions = 512
	em.mu.Unlock()
	if got := match(t, newMatcher(em, "m", db), chinese); got[0].Role != "claims_adjuster" {
		t.Fatalf("got %+v", got)
	}
}

func TestTheCallerMayLeave(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := onboarding.Or(newMatcher(newModel(), "m", sqldbtest.SQLite(t)), onboarding.WordMatcher{}, func(err error) { t.Errorf("heard %v", err) })
	if _, err := m.Match(ctx, chinese); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// TestJobsAreNotMixed asks for two learners in parallel, over and over.
func TestJobsAreNotMixed(t *testing.T) {
	t.Parallel()
	m := newMatcher(newModel(), "m", sqldbtest.SQLite(t))
	want := map[string]string{"ana": "claims_adjuster", "bob": "underwriter"}
	asks := map[string]onboarding.Question{"ana": chinese,
		"bob": question("bob", "Risk Assessor", "Brokers send me risks and I decide on terms and premium of the policy.", "insurance")}
	var wg sync.WaitGroup
	for range 20 {
		for who, q := range asks {
			wg.Go(func() {
				got, err := m.Match(t.Context(), q)
				if err != nil || !slices.ContainsFunc(got[:1], func(r onboarding.RoleMatch) bool { return r.Role == want[who] }) {
					t.Errorf("%s got %+v, %v", who, got, err)
				}
			})
		}
	}
	wg.Wait()
}
