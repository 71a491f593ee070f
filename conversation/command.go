package conversation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Send accepts a learner's command; see SendInput.
func (e *Engine) Send(ctx context.Context, in SendInput) (Accepted, error) {
	if err := e.check(&in); err != nil {
		return Accepted{}, err
	}
	acc, facts, err := e.accept(ctx, in)
	if err != nil {
		return Accepted{}, storage(err)
	}
	if acc.Duplicate {
		e.quoted(ctx, in.Conversation)
		return acc, nil
	}
	e.metrics.Accepted.Inc()
	// Accepted; from here on everything is repaired by others if it fails.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	e.keeper.Publish(after, in.Conversation, facts)
	e.claimer.Wake(in.Conversation)
	return acc, nil
}

// accept commits the command. What it interrupts ends in one step with it: the
// stop mark says where the open text ends, the commit holds only if the log
// with that mark is still the right one.
func (e *Engine) accept(ctx context.Context, in SendInput) (Accepted, []Fact, error) {
	corr := correlation.From(ctx)
	if in.Policy != "interrupt" && in.Policy != "rollback" {
		return e.store.Accept(ctx, in, e.limits.Queue, corr, nil)
	}
	for begun := time.Now(); time.Since(begun) < patience; {
		rec, err := e.store.Load(ctx, in.Conversation)
		if err == nil && rec.Header.Owner != in.Learner {
			err = ErrNotFound
		}
		if err != nil {
			return Accepted{}, nil, err
		}
		// Asked after the record was read: what is open there is then never the
		// reply to this very command.
		if acc, known, err := e.store.Answered(ctx, in); known || err != nil {
			return acc, nil, err
		}
		acc, facts, err := e.displace(ctx, in, corr, &rec)
		if err == nil || !tryAgain(err) {
			return acc, facts, err
		}
		// Its writer is about to begin or to rebuild: look again.
		if err := sleep(ctx, 30*time.Millisecond); err != nil {
			return Accepted{}, nil, err
		}
	}
	return Accepted{}, nil, fault.New(fault.RunActive, "The open reply cannot be interrupted right now; send again.")
}

// patience is how long a command waits for a writer that is about to begin or
// to rebuild, before it is refused.
const patience = 3 * time.Second

// displace stops the reply that is written, or was handed over and waits with
// its text, and commits the command with that end.
func (e *Engine) displace(ctx context.Context, in SendInput, corr string, rec *Record) (Accepted, []Fact, error) {
	open := rec.Running
	if open == nil {
		open = rec.HandedOver
	}
	if open == nil {
		return e.store.Accept(ctx, in, e.limits.Queue, corr, nil)
	}
	b, err := e.log.Stop(ctx, in.Conversation, rec.Log, open.No)
	if errors.Is(err, ErrLogDown) {
		// Without Redis there is no mark; the owner is asked by SQL.
		if err := e.store.AskCancel(ctx, in.Conversation, open.No); err != nil {
			return Accepted{}, nil, err
		}
		return e.store.Accept(ctx, in, e.limits.Queue, corr, nil)
	}
	if err != nil {
		return Accepted{}, nil, errLookAgain
	}
	acc, facts, err := e.store.Accept(ctx, in, e.limits.Queue, corr,
		&Finishing{ID: in.Conversation, Run: open.No, State: RunStopped, Text: b.Text, Base: b.Base, Log: b.Epoch})
	if err == nil {
		e.runner.Interrupt(in.Conversation, open.No)
	}
	return acc, facts, err
}

// errLookAgain says that the log does not hold what SQL calls open.
var errLookAgain = errors.New("the open reply is about to move")

func tryAgain(err error) bool {
	return errors.Is(err, errLookAgain) || errors.Is(err, ErrLogRenamed) || errors.Is(err, ErrClaimLost)
}

// Branch reads a page of a branch from SQL, by its tip; run 0 is the active
// one, before the first turn of the page after, 0 for the newest page.
func (e *Engine) Branch(ctx context.Context, learner LearnerID, id ID, run, before int64, limit int) (BranchPage, error) {
	if limit <= 0 || limit > 200 {
		limit = 50
	}
	p, err := e.store.Branch(ctx, learner, id, run, before, limit)
	if err == nil && before == 0 {
		e.quoted(ctx, id)
	}
	return p, storage(err)
}

// RunState reads one run of a learner's conversation.
func (e *Engine) RunState(ctx context.Context, learner LearnerID, id ID, run int64) (RunRow, error) {
	row, err := e.store.RunState(ctx, learner, id, run)
	if err == nil && row.Ended() {
		e.quoted(ctx, id)
	}
	return row, storage(err)
}

// Branches lists the tips of all branches, newest first; next is where the
// page after begins, 0 at the end.
func (e *Engine) Branches(ctx context.Context, learner LearnerID, id ID, before int64, limit int) (tips []Tip, next int64, err error) {
	if limit <= 0 || limit > 200 {
		limit = 50
	}
	tips, err = e.store.Tips(ctx, learner, id, before, limit+1)
	if err != nil {
		return nil, 0, storage(err)
	}
	if before == 0 {
		e.quoted(ctx, id)
	}
	if len(tips) > limit {
		tips = tips[:limit]
		next = tips[limit-1].Run
	}
	return tips, next, nil
}

var errNoMessage = fault.New(fault.NotFound, "No such message.")

func (e *Engine) check(in *SendInput) error {
	if err := checkPolicy(in.Policy); err != nil {
		return err
	}
	if in.Op == OpSelect {
		return nil
	}
	if err := checkClientID(in.ClientID); err != nil {
		return err
	}
	if in.Op != OpSend && (in.Message == "" || len(in.Message) > 64) {
		return errNoMessage
	}
	if in.Op == OpRegenerate {
		return nil
	}
	invalid := func(code, msg string) error {
		f := fault.New(fault.Invalid, "The message cannot be accepted.")
		f.Fields = []fault.Field{{Name: "text", Code: code, Message: msg}}
		return f
	}
	switch {
	case !utf8.ValidString(in.Text):
		return invalid("invalid_utf8", "The text is not valid UTF-8.")
	case strings.ContainsRune(in.Text, 0):
		return invalid("nul", "The text holds a NUL character.")
	case Blank(in.Text):
		return invalid("required", "The text is empty.")
	case utf8.RuneCountInString(in.Text) > e.limits.MessageChars:
		return invalid("too_long", fmt.Sprintf("At most %d characters.", e.limits.MessageChars))
	}
	return nil
}

// Blank reports text of which nothing would be seen: white space, control and
// format characters only.
func Blank(s string) bool {
	for _, r := range s {
		if !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) && !unicode.IsControl(r) {
			return false
		}
	}
	return true
}

func checkPolicy(p string) error {
	switch p {
	case "", "enqueue", "reject", "interrupt", "rollback":
		return nil
	}
	f := fault.New(fault.Invalid, "The message cannot be accepted.")
	f.Fields = []fault.Field{{Name: "policy", Code: "unknown", Message: "Use enqueue, reject, interrupt or rollback."}}
	return f
}

func checkClientID(s string) error {
	ok := len(s) >= 1 && len(s) <= 64
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._:-", c) >= 0
	}
	if ok {
		return nil
	}
	f := fault.New(fault.Invalid, "The client id is not allowed.")
	f.Fields = []fault.Field{{Name: "client_id", Code: "format", Message: "1 to 64 of A-Z a-z 0-9 . _ : -"}}
	return f
}
