package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Accept implements conversation.Store.
func (s *Store) Accept(ctx context.Context, in conversation.SendInput, queue int, correlation string, interrupt *conversation.Finishing) (conversation.Accepted, []conversation.Fact, error) {
	var acc conversation.Accepted
	var facts []conversation.Fact
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		acc, facts = conversation.Accepted{}, nil
		r, err := s.lock(ctx, in.Conversation, in.Learner)
		if err != nil {
			return err
		}
		if dup, err := s.duplicate(ctx, r, in, &acc); dup || err != nil {
			return err
		}
		if _, known := purpose(r.kind); !known {
			return errNewerKind
		}
		if r.state != conversation.StateActive || r.kind != conversation.KindChat {
			return fault.New(fault.ConversationEnded, "This conversation takes no more messages.")
		}
		at, err := s.place(ctx, r, in)
		if err != nil {
			return err
		}
		if facts, err = s.makeRoom(ctx, r, in.Policy, interrupt); err != nil {
			return err
		}
		if acc, err = s.perform(ctx, r, in, at, queue, correlation, &facts); err != nil {
			return err
		}
		return s.save(ctx, r)
	})
	if err != nil {
		return conversation.Accepted{}, nil, err
	}
	return acc, facts, nil
}

// place is where in the tree a command has its effect.
type place struct {
	parent, after int64  // links of a new message
	turn          int64  // whose reply is written anew, or of the tip chosen
	again         int64  // the run it stands beside, where one is replaced
	messageID     string // of the tip that is chosen
}

// place finds it, before anything has ended.
func (s *Store) place(ctx context.Context, r *row, in conversation.SendInput) (place, error) {
	switch in.Op {
	case conversation.OpEdit:
		t, err := s.message(ctx, r, in.Message)
		return place{parent: t.Parent, after: t.After, again: t.Run}, err
	case conversation.OpRegenerate:
		return s.reply(ctx, r, in.Message)
	case conversation.OpSelect:
		if in.From != 0 && in.From != s.tip(r) {
			return place{}, fault.New(fault.Conflict, "Another branch is shown by now.")
		}
		run, err := s.run(ctx, r.id, in.Run)
		return place{turn: run.Parent, messageID: run.MessageID}, err
	}
	h, err := s.head(ctx, r)
	if err != nil || in.Policy != "rollback" {
		return place{parent: h.Turn, after: h.Run}, err
	}
	return s.unfinished(ctx, r, h)
}

// unfinished finds the oldest message of the branch whose reply is open: a new
// one takes its place.
func (s *Store) unfinished(ctx context.Context, r *row, tip conversation.Head) (place, error) {
	at := place{parent: tip.Turn, after: tip.Run}
	open, err := s.openRuns(ctx, r)
	if err != nil || len(open) == 0 {
		return at, err
	}
	links := map[int64]place{}
	err = s.each(ctx, func(rows *sql.Rows) error {
		t, err := scanTurn(rows)
		links[t.N] = place{parent: t.Parent, after: t.After}
		return err
	}, "SELECT "+turnColumns+" FROM turns t WHERE t.conversation = ? AND t.author = 'learner'", r.id)
	if err != nil {
		return at, err
	}
	isOpen := map[int64]bool{}
	for _, run := range open {
		isOpen[run.No] = true
	}
	for run, n := tip.Run, tip.Turn; n > 0; {
		l, ok := links[n]
		if !ok || l.parent >= n {
			break
		}
		if isOpen[run] {
			at = l
		}
		run, n = l.after, l.parent
	}
	return at, nil
}

// makeRoom does what the policy wants with replies that are not finished.
func (s *Store) makeRoom(ctx context.Context, r *row, policy string, interrupt *conversation.Finishing) ([]conversation.Fact, error) {
	var facts []conversation.Fact
	if interrupt != nil {
		ended, err := s.finish(ctx, r, *interrupt, nil)
		if err != nil {
			return nil, err
		}
		facts = ended.Facts
	}
	if policy != "rollback" {
		return facts, nil
	}
	open, err := s.openRuns(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, run := range open {
		switch {
		case run.Attempt == 0:
			ended, err := s.finish(ctx, r, conversation.Finishing{ID: r.id, Run: run.No, State: conversation.RunStopped}, nil)
			if err != nil {
				return nil, err
			}
			facts = append(facts, ended.Facts...)
		case !run.Cancel: // it has a writer, who has not been stopped
			return nil, conversation.ErrClaimLost
		}
	}
	return facts, nil
}

// openRuns lists the unfinished runs in their order.
func (s *Store) openRuns(ctx context.Context, r *row) ([]conversation.RunRow, error) {
	var out []conversation.RunRow
	err := s.each(ctx, func(rows *sql.Rows) error {
		run, err := scanRun(r.id, rows.Scan)
		out = append(out, run)
		return err
	}, "SELECT "+runColumns+" FROM runs r JOIN conversations c ON c.id = r.conversation WHERE r.conversation = ? AND r.state IN ('pending', 'running') ORDER BY r.run", r.id)
	return out, err
}

func (s *Store) perform(ctx context.Context, r *row, in conversation.SendInput, at place, queue int, correlation string, facts *[]conversation.Fact) (conversation.Accepted, error) {
	var acc conversation.Accepted
	var open int64
	if err := s.conn(ctx).QueryRowContext(ctx, "SELECT count(*) FROM runs WHERE conversation = ? AND state IN ('pending', 'running')", r.id).Scan(&open); err != nil {
		return acc, err
	}
	if open > 0 && in.Policy == "reject" {
		return acc, fault.New(fault.RunActive, "A reply is being written; send again when it is finished.")
	}
	if in.Op == conversation.OpSelect {
		r.head = in.Run
		f := chosen(conversation.Head{Run: in.Run, Turn: at.turn}, in.Op, at.messageID)
		*facts = append(*facts, f)
		return conversation.Accepted{MessageID: at.messageID, Turn: at.turn, Run: in.Run, Position: open}, s.addFact(ctx, r, &(*facts)[len(*facts)-1])
	}
	if open > int64(queue) {
		return acc, fault.Newf(fault.QueueFull, "At most %d messages may wait.", queue)
	}
	var f conversation.Fact
	if in.Op == conversation.OpRegenerate {
		run, err := s.addRun(ctx, r, at.turn, correlation)
		if err != nil {
			return acc, err
		}
		if _, err := s.exec(ctx, "UPDATE runs SET client_key = ?, again_of = ? WHERE conversation = ? AND run = ?", in.ClientID, at.again, r.id, run.No); err != nil {
			return acc, err
		}
		acc = conversation.Accepted{MessageID: run.MessageID, Turn: at.turn, Run: run.No, Position: open}
		f = chosen(conversation.Head{Run: run.No, Turn: at.turn}, in.Op, run.MessageID)
	} else {
		t := conversation.Turn{ID: string(conversation.NewID()), Author: conversation.Learner, Text: in.Text, ClientID: in.ClientID,
			Run: r.runs + 1, Parent: at.parent, After: at.after}
		if err := s.addTurn(ctx, r, &t); err != nil {
			return acc, err
		}
		run, err := s.addRun(ctx, r, t.N, correlation)
		if err != nil {
			return acc, err
		}
		if at.again != 0 { // an edit: a repeat must not pass for a new message
			if _, err := s.exec(ctx, "UPDATE runs SET again_of = ? WHERE conversation = ? AND run = ?", at.again, r.id, run.No); err != nil {
				return acc, err
			}
		}
		acc = conversation.Accepted{MessageID: t.ID, Turn: t.N, Run: run.No, Position: open}
		f = conversation.Fact{Type: conversation.TypeAccepted, Data: marshal(t), Turn: &t}
	}
	if err := s.addFact(ctx, r, &f); err != nil {
		return acc, err
	}
	*facts = append(*facts, f)
	return acc, nil
}

// chosen is the fact that moves the head without a message.
func chosen(h conversation.Head, by conversation.Op, messageID string) conversation.Fact {
	return conversation.Fact{Type: conversation.TypeChosen, Data: marshal(struct {
		conversation.Head
		By        conversation.Op `json:"by"`
		MessageID string          `json:"message_id"`
	}{h, by, messageID})}
}

var errNoMessage = fault.New(fault.NotFound, "No such message.")

// message finds a learner's turn by its id or its client id.
func (s *Store) message(ctx context.Context, r *row, name string) (conversation.Turn, error) {
	var t conversation.Turn
	err := s.each(ctx, func(rows *sql.Rows) error {
		got, err := scanTurn(rows)
		if t.N == 0 || got.ID == name {
			t = got // somebody's client id may look like another's id
		}
		return err
	}, "SELECT "+turnColumns+" FROM turns t WHERE t.conversation = ? AND t.author = 'learner' AND (t.id = ? OR t.client_id = ?)", r.id, name, name)
	if err == nil && t.N == 0 {
		err = errNoMessage
	}
	return t, err
}

// reply finds what is to be written anew: by the id of the reply (one that
// failed has left no turn, but has an id), or by the message it answers.
func (s *Store) reply(ctx context.Context, r *row, name string) (place, error) {
	var at place
	err := s.conn(ctx).QueryRowContext(ctx, "SELECT run, parent FROM runs WHERE conversation = ? AND message_id = ?", r.id, name).Scan(&at.again, &at.turn)
	if errors.Is(err, sql.ErrNoRows) {
		t, err := s.message(ctx, r, name)
		return place{turn: t.N, again: t.Run}, err
	}
	if err == nil && at.turn == 0 {
		return at, fault.New(fault.Invalid, "The opening cannot be written anew.")
	}
	return at, err
}

// tip is the run at the end of the active branch.
func (s *Store) tip(r *row) int64 {
	if r.head < 0 {
		return r.runs
	}
	return r.head
}

func (s *Store) head(ctx context.Context, r *row) (conversation.Head, error) {
	h := conversation.Head{Run: s.tip(r)}
	if h.Run == 0 {
		return h, nil
	}
	err := s.conn(ctx).QueryRowContext(ctx, "SELECT parent FROM runs WHERE conversation = ? AND run = ?", r.id, h.Run).Scan(&h.Turn)
	return h, err
}

// Answered implements conversation.Store.
func (s *Store) Answered(ctx context.Context, in conversation.SendInput) (conversation.Accepted, bool, error) {
	var acc conversation.Accepted
	r, err := s.row(ctx, in.Conversation, in.Learner, "")
	if err != nil {
		return acc, false, err
	}
	known, err := s.duplicate(ctx, r, in, &acc)
	if err != nil {
		return conversation.Accepted{}, false, err
	}
	return acc, known, nil
}

var errMismatch = fault.New(fault.IdempotencyMismatch, "This client id was used for something else.")

// duplicate answers a command that was accepted before.
func (s *Store) duplicate(ctx context.Context, r *row, in conversation.SendInput, acc *conversation.Accepted) (bool, error) {
	known, err := s.repeated(ctx, r, in, acc)
	if !known || err != nil {
		return known, err
	}
	open, err := s.openRuns(ctx, r)
	if in.Op == conversation.OpSelect {
		acc.Position = int64(len(open))
	} else {
		acc.Position = int64(max(0, slices.IndexFunc(open, func(run conversation.RunRow) bool { return run.No == acc.Run })))
	}
	return err == nil, err
}

func (s *Store) repeated(ctx context.Context, r *row, in conversation.SendInput, acc *conversation.Accepted) (bool, error) {
	if in.Op == conversation.OpSelect {
		if in.Run != s.tip(r) {
			return false, nil
		}
		run, err := s.run(ctx, r.id, in.Run)
		if err != nil {
			return false, err
		}
		*acc = conversation.Accepted{MessageID: run.MessageID, Turn: run.Parent, Run: run.No, Duplicate: true}
		return true, nil
	}
	var textSHA string
	var parent, after, again int64
	err := s.conn(ctx).QueryRowContext(ctx, `SELECT t.n, t.id, t.run, t.text_sha, t.parent, t.after_run, r.again_of FROM turns t
		JOIN runs r ON r.conversation = t.conversation AND r.run = t.run WHERE t.conversation = ? AND t.client_id = ?`, r.id, in.ClientID).
		Scan(&acc.Turn, &acc.MessageID, &acc.Run, &textSHA, &parent, &after, &again)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s.regenerated(ctx, r, in, acc)
	case err != nil:
		return false, err
	case in.Op == conversation.OpRegenerate || textSHA != sha(in.Text) || in.Op == conversation.OpSend && again != 0:
		return false, errMismatch
	}
	if in.Op == conversation.OpEdit {
		t, err := s.message(ctx, r, in.Message)
		// An older version wrote no again_of: its edits are known by their place.
		same := t.Run == again || again == 0 && t.Parent == parent && t.After == after
		if errors.Is(err, errNoMessage) || err == nil && !same {
			return false, errMismatch
		}
		if err != nil {
			return false, err
		}
	}
	acc.Duplicate = true
	return true, nil
}

// regenerated looks for the key among the replies that were written anew.
func (s *Store) regenerated(ctx context.Context, r *row, in conversation.SendInput, acc *conversation.Accepted) (bool, error) {
	var again int64
	err := s.conn(ctx).QueryRowContext(ctx, "SELECT run, parent, message_id, again_of FROM runs WHERE conversation = ? AND client_key = ?", r.id, in.ClientID).
		Scan(&acc.Run, &acc.Turn, &acc.MessageID, &again)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if in.Op != conversation.OpRegenerate {
		return false, errMismatch
	}
	at, err := s.reply(ctx, r, in.Message)
	if errors.Is(err, errNoMessage) || err == nil && at.again != again {
		return false, errMismatch
	}
	acc.Duplicate = err == nil
	return err == nil, err
}
