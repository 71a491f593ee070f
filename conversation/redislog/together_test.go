package redislog_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
)

func TestManyWritersAppendTogether(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		const writers, pieces = 24, 20
		var wg sync.WaitGroup
		for range writers {
			id, ep := e.writing()
			wg.Go(func() {
				at := int64(4)
				for n := range pieces {
					text := strconv.Itoa(n) + " "
					seq, _, err := e.log.Append(t.Context(), id, ep, piece(1, fence+1, at, text))
					if err != nil || seq == 0 {
						t.Errorf("%s piece %d: seq %d, %v", id, n, seq, err)
						return
					}
					at += conversation.UTF16Len(text)
				}
				if got := e.active(id).State.Open.Text; got != "he😀0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 " {
					t.Errorf("%s has %q", id, got)
				}
			})
		}
		wg.Wait()
	})
}

// A Redis that was restarted has its data and not its scripts.
func TestAppendLoadsItsScriptAgain(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		id, ep := e.writing()
		e.do("SCRIPT", "FLUSH")
		if _, _, err := e.log.Append(t.Context(), id, ep, piece(1, fence+1, 4, "!")); err != nil {
			t.Fatal(err)
		}
	})
}

// The appends of all conversations share a trip; a refusal of one is its own.
func TestARefusalIsItsOwnWriters(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		var wg sync.WaitGroup
		for i := range 30 {
			id, ep := e.writing()
			f, want := int64(fence+1), error(nil)
			if i%3 == 0 {
				f, want = fence-1, conversation.ErrFenced
			}
			wg.Go(func() {
				_, _, err := e.log.Append(t.Context(), id, ep, piece(1, f, 4, "!"))
				errIs(t, string(id), err, want)
			})
		}
		wg.Wait()
	})
}

// A conversation whose stream was overwritten by a foreign hand cannot be
// written to; those that share its call can.
func TestABrokenLogDoesNotTakeItsNeighboursAlong(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		var wg sync.WaitGroup
		for i := range 30 {
			id, ep := e.writing()
			var want error
			if i%3 == 0 {
				e.drop(id, "l")
				for _, k := range e.keys(id) {
					if head, ok := strings.CutSuffix(k, ":m"); ok {
						e.do("SET", head+":l", "not a stream")
					}
				}
				want = conversation.ErrLogDamaged
			}
			wg.Go(func() {
				_, _, err := e.log.Append(t.Context(), id, ep, piece(1, fence+1, 4, "!"))
				errIs(t, string(id), err, want)
			})
		}
		wg.Wait()
	})
}

// The bell of a conversation that only its writer's node watches stays still:
// that node takes what it wrote from the answer. As soon as another listens,
// it rings.
func TestSpareRingsOnlyForOthers(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		b, _ := e.ring()
		l := e.open(redislog.Options{})
		l.Spare(b)
		id, ep := e.writing()
		write := func(at int64, text string) {
			if _, _, err := l.Append(ctx, id, ep, piece(1, fence+1, at, text)); err != nil {
				t.Fatal(err)
			}
		}
		var mine, theirs ear
		e.listen(b, id, &mine)
		write(4, "a")
		// A fact always rings; what comes before it has not rung.
		if _, _, err := l.PutFact(ctx, id, ep, accepted(3)); err != nil {
			t.Fatal(err)
		}
		if got := mine.waitFor(t, 1); got[0].Fact != 3 {
			t.Errorf("an append rang for its own writer: %+v", got[0])
		}
		other, _ := e.ring()
		e.listen(other, id, &theirs)
		write(5, "b")
		if got := theirs.waitFor(t, 1); got[0].Text != "b" {
			t.Errorf("the other node heard %+v", got[0])
		}
	})
}
