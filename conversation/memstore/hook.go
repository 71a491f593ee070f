// Package memstore keeps conversations in memory: the authority (Store on a
// DB), the live log (Log on a Server, with its Bell) and the lock (Locks),
// each a faithful port of its real counterpart in sqlstore and redislog, which
// storetest proves. It exists for simulation: nothing in it waits on a real
// socket, so it runs under testing/synctest in fake time, every command passes
// a Hook that may lose, delay or repeat it, a Server can be wiped, copied and
// replaced as a Redis can, and Broken switches single rules off to prove that
// a checker would notice.
//
// Two things are left out on purpose: keys never expire by time (the real
// ones live a day), and a Server is one primary, never a cluster.
package memstore

import (
	"context"
	"errors"

	"github.com/fluentpro/fluentpro/conversation"
)

// Call is one command on its way to a store.
type Call struct {
	// Op names the command: "log.append", "sql.accept", "lock.obtain".
	Op string
	// ID is the conversation it is about, "" for none.
	ID conversation.ID
	// Exec carries the command out; its result is the caller's answer if the
	// Hook returns nil. It must be called before the Hook returns, or never.
	Exec func()
	// Again carries it out once more for nobody, at any later time: a copy
	// that lay in a socket.
	Again func()
}

// Hook decides the fate of a command: return nil after Exec for an answer, an
// error before or after Exec for none. The caller of the store then knows only
// that the outcome is unknown. A Hook may wait; no lock is held around it.
type Hook func(ctx context.Context, c Call) error

// ErrLost is what a Hook returns for an answer that never came.
var ErrLost = errors.New("connection lost")

var errNoExec = errors.New("memstore: hook answered for a command it did not execute")

// through sends one command through the hook.
func through[T any](ctx context.Context, h Hook, op string, id conversation.ID, fn func() (T, error)) (T, error) {
	if h == nil {
		return fn()
	}
	var out, none T
	var err error
	done := false
	lost := h(ctx, Call{Op: op, ID: id,
		Exec:  func() { out, err = fn(); done = true },
		Again: func() { _, _ = fn() },
	})
	switch {
	case lost != nil:
		return none, lost
	case !done:
		return none, errNoExec
	}
	return out, err
}

// Broken switches rules off, one each; the zero value keeps all of them. It is
// the list of mutations by which a simulation proves that it would notice.
type Broken struct {
	// BlindAppend adds text wherever the log ends, position or not.
	BlindAppend bool
	// NoFence lets any writer begin and append in the log.
	NoFence bool
	// NoAhead reads beyond the end of a log as "nothing new".
	NoAhead bool
	// NoIncarnation leaves the incarnation out of the names of keys.
	NoIncarnation bool
	// NoIdentity leaves the check of the incarnation out of the scripts: a
	// client learns of another one only when it connects.
	NoIdentity bool
	// NoNonce names a log by its counter alone.
	NoNonce bool
	// NoBase opens every run with the base of the first attempt.
	NoBase bool
	// EmptyIsNew takes a log without the run for a run without text, and
	// does not announce that the text begins anew.
	EmptyIsNew bool
	// UnknownKeepsFence leaves the fence where it is when the run that should
	// go on is not there.
	UnknownKeepsFence bool
	// NoDedup accepts a client id as often as it comes.
	NoDedup bool
	// LastEndWins lets any later end replace an earlier one, whoever's.
	LastEndWins bool
}
