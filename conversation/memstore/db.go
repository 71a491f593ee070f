package memstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// DB is the authority's memory, shared by the Stores of all nodes. Every
// method of a Store is one transaction: it works on a copy of the
// conversation, which takes its place when the method succeeds.
type DB struct {
	broken *Broken
	newID  func() conversation.ID

	mu           sync.Mutex // guards what follows
	chats        map[conversation.ID]*chat
	order        []conversation.ID // of creation
	nodes        map[string]*conversation.Member
	incarnations map[string]int64
}

// chat is a conversation's row with everything that hangs on it.
type chat struct {
	header   conversation.Header
	clientID string
	fence    int64
	head     int64 // -1: the newest run
	log      conversation.Epoch
	logFence int64
	turns    []conversation.Turn
	runs     []runRow
	facts    []conversation.Fact
}

type runRow struct {
	conversation.RunRow
	created int64
	// key is the learner's, of a reply written anew; again, of such a one and of
	// the reply to an edit, is the run that it stands beside.
	key   string
	again int64
}

// NewDB returns an empty DB; newID makes ids, nil takes conversation.NewID.
func NewDB(newID func() conversation.ID, broken *Broken) *DB {
	if broken == nil {
		broken = &Broken{}
	}
	if newID == nil {
		newID = conversation.NewID
	}
	return &DB{broken: broken, newID: newID, chats: map[conversation.ID]*chat{}, nodes: map[string]*conversation.Member{}, incarnations: map[string]int64{}}
}

// Store implements conversation.Store for one node.
type Store struct {
	db   *DB
	hook Hook
}

// NewStore returns a node's Store; hook may be nil.
func NewStore(db *DB, hook Hook) *Store { return &Store{db, hook} }

func (c *chat) clone() *chat {
	d := *c
	d.turns, d.runs, d.facts = slices.Clone(c.turns), slices.Clone(c.runs), slices.Clone(c.facts)
	return &d
}

// inTx sends one transaction on one conversation through the hook: fn works
// on a copy, an error leaves everything as it was.
func inTx[T any](ctx context.Context, s *Store, op string, id conversation.ID, fn func(c *chat) (T, error)) (T, error) {
	return whole(ctx, s, op, id, func(db *DB) (T, error) {
		c := db.chats[id]
		if c == nil {
			var none T
			return none, conversation.ErrNotFound
		}
		c = c.clone()
		out, err := fn(c)
		if err == nil {
			db.chats[id] = c
		}
		return out, err
	})
}

// whole sends one transaction on anything through the hook.
func whole[T any](ctx context.Context, s *Store, op string, id conversation.ID, fn func(db *DB) (T, error)) (T, error) {
	out, err := through(ctx, s.hook, op, id, func() (answer[T], error) {
		s.db.mu.Lock()
		defer s.db.mu.Unlock()
		v, err := fn(s.db)
		return answer[T]{v, err}, nil
	})
	if err != nil {
		return out.v, err
	}
	return out.v, out.err
}

func micros() int64 { return time.Now().UnixMicro() }

func (c *chat) addTurn(t *conversation.Turn) {
	t.N, t.At = int64(len(c.turns))+1, micros()/1000
	c.turns = append(c.turns, *t)
}

func (c *chat) addFact(f *conversation.Fact) {
	f.N, f.TS = int64(len(c.facts))+1, micros()/1000
	stored := *f
	stored.Fence = 0 // the column does not exist; Facts takes that of the run
	if f.Turn != nil {
		t := *f.Turn
		stored.Turn = &t
	}
	c.facts = append(c.facts, stored)
}

func (db *DB) addRun(c *chat, parent int64, correlation string) *runRow {
	purpose := "partner"
	if c.header.Kind == conversation.KindScenario {
		purpose = "scenario"
	}
	at := micros()
	c.head = int64(len(c.runs)) + 1
	c.runs = append(c.runs, runRow{created: at, RunRow: conversation.RunRow{State: conversation.RunPending, Updated: at, Run: conversation.Run{
		Conversation: c.header.ID, No: int64(len(c.runs)) + 1, Purpose: purpose, Parent: parent, MessageID: string(db.newID()), Correlation: correlation}}})
	return &c.runs[len(c.runs)-1]
}

// run is a run of the conversation, nil if there is none.
func (c *chat) run(no int64) *runRow {
	if no < 1 || no > int64(len(c.runs)) {
		return nil
	}
	return &c.runs[no-1]
}

func (c *chat) row(r *runRow) conversation.RunRow {
	row := r.RunRow
	row.Log = c.log
	return row
}

// turnsKept bounds the turns that a Record carries, as in sqlstore.
const turnsKept = 400

func (c *chat) record() conversation.Record {
	rec := conversation.Record{Header: c.header, Fence: c.fence, Log: c.log, Facts: int64(len(c.facts)), Head: c.tip(),
		Turns: slices.Clone(c.turns[max(0, len(c.turns)-turnsKept):])}
	for i := range c.runs {
		switch r := &c.runs[i]; r.State {
		case conversation.RunRunning:
			row := c.row(r)
			rec.Running = &row
		case conversation.RunPending:
			rec.Waiting++
			if row := c.row(r); r.Attempt > 0 {
				rec.HandedOver = &row
			}
		}
	}
	for _, f := range c.facts {
		switch conversation.FoldField(f.Type) {
		case "res":
			rec.Result = f.Data
		case "fail":
			rec.Failure = f.Data
			if f.Run < int64(len(c.runs)) {
				rec.Failure = nil
			}
		}
	}
	return rec
}
