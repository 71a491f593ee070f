package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func doc(owner string, at int64) practice.Document {
	return practice.Document{
		ID: uuid.NewString(), Owner: owner, RequestID: uuid.NewString(), Level: "B1", Industry: "it", JobRole: "dev",
		PartnerType: "custom:Ёлка '?' \\ 👩", Situation: "meetings", PromptVersion: "scenario.v1", CreatedAt: at,
		Scenario: practice.Scenario{Title: "It's a title? \"yes\" \\0", Partner: practice.Partner{HiddenFacts: []practice.HiddenFact{{ID: "h1"}}}},
	}
}

func save(t *testing.T, s *Store, d practice.Document) {
	t.Helper()
	got, err := s.Save(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, got); diff != "" {
		t.Fatalf("saved differently:\n%s", diff)
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		ctx, s := t.Context(), New(db)
		a, b := doc("ann", 100), doc("ben", 200)
		save(t, s, a)
		save(t, s, b)

		got, err := s.Get(ctx, "ann", a.ID)
		if err != nil || cmp.Diff(a, got) != "" {
			t.Fatalf("get: %v\n%s", err, cmp.Diff(a, got))
		}
		for name, ask := range map[string][2]string{"foreign": {"ann", b.ID}, "missing": {"ann", uuid.NewString()}, "injection": {"ann' OR '1'='1", b.ID}} {
			if _, err := s.Get(ctx, ask[0], ask[1]); !errors.Is(err, practice.ErrNoScenario) {
				t.Errorf("%s: got %v", name, err)
			}
		}

		second := doc("ann", 999)
		second.RequestID = a.RequestID
		if got, err := s.Save(ctx, second); err != nil || got.ID != a.ID || got.CreatedAt != 100 {
			t.Errorf("the second of one request: %+v %v", got, err)
		}
		stolen := doc("ben", 1)
		stolen.RequestID = a.RequestID
		if got, err := s.Save(ctx, stolen); !errors.Is(err, practice.ErrNoScenario) {
			t.Errorf("a foreign request id gave %+v %v", got, err)
		}
	})
}

func TestListOrderAndPages(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := New(db)
		save(t, s, doc("ben", 5))
		var want []string
		for i := range 5 {
			d := doc("ann", int64(i/2)) // pairs of one time
			save(t, s, d)
			want = append(want, d.ID)
		}
		var got []string
		before := ""
		for range 10 {
			page, err := s.List(t.Context(), "ann", before, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for i, d := range page {
				got = append(got, d.ID)
				if d.Owner != "ann" || i > 0 && d.CreatedAt > page[i-1].CreatedAt {
					t.Fatalf("page %+v", page)
				}
			}
			before = page[len(page)-1].ID
		}
		if len(got) != len(want) || got[0] != want[4] {
			t.Fatalf("got %v, want all of %v, newest first", got, want)
		}
		foreign, err := s.List(t.Context(), "ben", want[0], 2)
		if err != nil || len(foreign) != 0 {
			t.Fatalf("somebody else's place gave %v %v", foreign, err)
		}
	})
}

func TestSaveJoinsTheTransaction(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s, d, boom := New(db), doc("ann", 1), errors.New("boom")
		err := db.InTx(t.Context(), func(ctx context.Context) error {
			if _, err := s.Save(ctx, d); err != nil {
				return err
			}
			if _, err := s.Get(ctx, "ann", d.ID); err != nil {
				t.Errorf("not seen inside: %v", err)
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "ann", d.ID); !errors.Is(err, practice.ErrNoScenario) {
			t.Fatalf("survived the rollback: %v", err)
		}
	})
}

func TestNextCountsWithoutHoles(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := New(db)
		var mu sync.Mutex
		seen := map[int64]bool{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				n, err := s.Next(t.Context(), "ann")
				mu.Lock()
				defer mu.Unlock()
				if err != nil || seen[n] || n < 1 || n > 8 {
					t.Errorf("got %d %v", n, err)
				}
				seen[n] = true
			})
		}
		wg.Wait()
		if n, err := s.Next(t.Context(), "ben"); err != nil || n != 1 {
			t.Errorf("another owner got %d %v", n, err)
		}
	})
}

func TestDownIsToldWithoutDetail(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	s := New(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err1 := s.Save(t.Context(), doc("ann", 1))
	_, err2 := s.Get(t.Context(), "ann", "x")
	_, err3 := s.List(t.Context(), "ann", "", 1)
	_, err4 := s.Next(t.Context(), "ann")
	for i, err := range []error{err1, err2, err3, err4} {
		if fault.CodeOf(err) != fault.StorageUnavailable {
			t.Errorf("%d: got %v", i, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := storage("x", ctx.Err()); fault.CodeOf(err) == fault.StorageUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request reads as an outage: %v", fmt.Sprint(err))
	}
}
