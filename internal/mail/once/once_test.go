package once_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/mail"
	"github.com/fluentpro/fluentpro/internal/mail/once"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post counts what it is given; err is what it answers.
type post struct {
	sent atomic.Int64
	err  func() error
}

func (p *post) Send(context.Context, mail.Message) error {
	if p.err != nil {
		if err := p.err(); err != nil {
			return err
		}
	}
	p.sent.Add(1)
	return nil
}

func TestOneMailPerKey(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := &post{}
		s := once.New(db, p, nil)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := s.Send(context.Background(), mail.Message{Key: "a"}); err != nil && !errors.Is(err, once.ErrClaimed) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := s.Send(t.Context(), mail.Message{Key: "a"}); err != nil || p.sent.Load() != 1 {
			t.Fatalf("%v, sent %d times", err, p.sent.Load())
		}
		if err := s.Send(t.Context(), mail.Message{Key: "b"}); err != nil || p.sent.Load() != 2 {
			t.Fatalf("another key: %v, sent %d", err, p.sent.Load())
		}
	})
}

func TestFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		boom := errors.New("boom")
		down := true
		p := &post{err: func() error {
			if down {
				return boom
			}
			return nil
		}}
		s := once.New(db, p, nil)
		for range 2 {
			if err := s.Send(t.Context(), mail.Message{Key: "a"}); !errors.Is(err, boom) {
				t.Fatalf("got %v", err)
			}
		}
		down = false
		for range 2 {
			if err := s.Send(t.Context(), mail.Message{Key: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		if p.sent.Load() != 1 {
			t.Fatalf("sent %d times", p.sent.Load())
		}
	})
}

// TestDeathWhileSending leaves a claim as a killed process leaves it.
func TestDeathWhileSending(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Now()
		p := &post{}
		s := once.New(db, p, func() time.Time { return now })
		if _, err := db.Conn(t.Context()).ExecContext(t.Context(), "INSERT INTO mails (key, state, at) VALUES ('a', 'sending', ?)", sqldb.Micros(now)); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), mail.Message{Key: "a"}); !errors.Is(err, once.ErrClaimed) || p.sent.Load() != 0 {
			t.Fatalf("got %v, sent %d, want to wait for the other", err, p.sent.Load())
		}
		now = now.Add(once.Lease + time.Second)
		if err := s.Send(t.Context(), mail.Message{Key: "a"}); err != nil || p.sent.Load() != 1 {
			t.Fatalf("got %v, sent %d", err, p.sent.Load())
		}
	})
}

func TestForgetAndTransactions(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		now := time.Now()
		p := &post{}
		s := once.New(db, p, func() time.Time { return now })
		if err := s.Send(t.Context(), mail.Message{Key: "old"}); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Forget(t.Context(), now); err != nil || n != 0 {
			t.Fatalf("forgot %d, %v", n, err)
		}
		if n, err := s.Forget(t.Context(), now.Add(time.Second)); err != nil || n != 1 {
			t.Fatalf("forgot %d, %v", n, err)
		}
		err := db.InTx(t.Context(), func(ctx context.Context) error { return s.Send(ctx, mail.Message{Key: "b"}) })
		if err == nil || p.sent.Load() != 1 {
			t.Fatalf("sent in a transaction: %v", err)
		}
	})
}
