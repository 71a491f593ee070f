package openai

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// errOutrun ends the slower of two hedged calls.
var errOutrun = errors.New("the other of two calls was faster")

// race is one call that may get a second beside it: whichever speaks first is
// the answer, the other is cancelled before a word of it is heard.
type race struct {
	client *Client
	prompt conversation.Prompt
	emit   func(string) error

	mu     sync.Mutex // guards what follows
	winner int        // 0 until one has spoken
	cancel [3]context.CancelCauseFunc
}

// finish is how one of the calls ended.
type finish struct {
	no  int
	fin conversation.Finish
	rec CallRecord
	err error
}

// hedged makes a call and, if it has not spoken after the given time, a second
// one to the same upstream. It costs up to two calls, so it is off unless
// asked for. The record is the answer's, with the tokens and money of both.
func hedged(ctx context.Context, c *Client, p conversation.Prompt, after time.Duration, emit func(string) error) (conversation.Finish, CallRecord, error) {
	r := &race{client: c, prompt: p, emit: emit}
	done := make(chan finish, 2) // both always end here
	r.start(ctx, 1, done)
	running := 1
	wait := time.NewTimer(after)
	defer wait.Stop()
	var best finish
	var other CallRecord
	for running > 0 {
		select {
		case <-wait.C:
			if r.silent() && ctx.Err() == nil {
				r.start(ctx, 2, done)
				running++
			}
		case f := <-done:
			running--
			wait.Stop() // what has ended is not hedged: retries are made elsewhere
			if best.no == 0 || r.won(f.no) || best.err != nil && f.err == nil {
				best, f = f, best
			}
			if f.no != 0 {
				other = f.rec
			}
			if best.err == nil {
				r.stop(3 - best.no)
			}
		}
	}
	best.rec.PromptTokens += other.PromptTokens
	best.rec.OutputTokens += other.OutputTokens
	best.rec.Micros += other.Micros
	return best.fin, best.rec, best.err
}

func (r *race) start(ctx context.Context, no int, done chan<- finish) {
	ctx, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	r.cancel[no] = cancel
	r.mu.Unlock()
	go func() {
		defer cancel(nil)
		fin, rec, err := r.client.generate(ctx, r.prompt, func(text string) error {
			if !r.speak(no) {
				return errOutrun
			}
			return r.emit(text)
		})
		done <- finish{no, fin, rec, err}
	}()
}

// speak says whether a call may be heard; the first to ask is the answer.
func (r *race) speak(no int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.winner == 0 {
		r.winner = no
		if c := r.cancel[3-no]; c != nil {
			c(errOutrun)
		}
	}
	return r.winner == no
}

func (r *race) silent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.winner == 0
}

func (r *race) won(no int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.winner == no
}

func (r *race) stop(no int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.cancel[no]; c != nil {
		c(errOutrun)
	}
}
