package redislog_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
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
