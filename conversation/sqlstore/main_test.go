package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/sqlstore"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	owner    = conversation.LearnerID("learner-1")
	stranger = conversation.LearnerID("learner-2")
)

// env is a store with one living node, n1.
type env struct {
	*sqlstore.Store
	t  *testing.T
	db *sqldb.DB
}

func each(t *testing.T, fn func(t *testing.T, e *env)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		e := &env{sqlstore.New(db), t, db}
		e.node("n1")
		fn(t, e)
	})
}

func (e *env) ctx() context.Context { return e.t.Context() }

// node adds a living node. Register on SQLite buries all others, so the row
// is made by hand.
func (e *env) node(id string) {
	e.t.Helper()
	e.sql("INSERT INTO nodes (node_id, instance, boot_id, addr, version, state, hb, started_at) VALUES (?, ?, ?, 'a', 'v', 'active', "+e.db.Now()+", 0)", id, "i-"+id, id)
}

func (e *env) sql(q string, args ...any) {
	e.t.Helper()
	if _, err := e.db.Conn(e.ctx()).ExecContext(e.ctx(), q, args...); err != nil {
		e.t.Fatalf("%s: %v", q, err)
	}
}

func (e *env) chat(opening string) conversation.ID {
	e.t.Helper()
	rec, created, err := e.Create(e.ctx(), conversation.CreateInput{Owner: owner, Kind: conversation.KindChat,
		ClientID: string(conversation.NewID()), Title: "talk", Meta: []byte(`{"card":1}`), Opening: opening})
	if err != nil || !created {
		e.t.Fatalf("create: %v, created %v", err, created)
	}
	return rec.Header.ID
}

func (e *env) accept(id conversation.ID, client string) conversation.Accepted {
	e.t.Helper()
	acc, _, err := e.Accept(e.ctx(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: client, Text: "text " + client}, 4, "corr-"+client, nil)
	if err != nil {
		e.t.Fatalf("accept %s: %v", client, err)
	}
	return acc
}

func (e *env) candidate(id conversation.ID, alive ...string) conversation.Candidate {
	e.t.Helper()
	cs, err := e.Claimable(e.ctx(), alive, id, 10)
	if err != nil || len(cs) != 1 {
		e.t.Fatalf("claimable with %v alive: %+v (%v), want one", alive, cs, err)
	}
	return cs[0]
}

func (e *env) claim(id conversation.ID, node string, alive ...string) conversation.Claim {
	e.t.Helper()
	cl, err := e.Claim(e.ctx(), e.candidate(id, alive...), node)
	if err != nil {
		e.t.Fatalf("claim: %v", err)
	}
	return cl
}

func (e *env) load(id conversation.ID) conversation.Record {
	e.t.Helper()
	rec, err := e.Load(e.ctx(), id)
	if err != nil {
		e.t.Fatalf("load: %v", err)
	}
	return rec
}

func (e *env) runState(id conversation.ID, run int64) conversation.RunRow {
	e.t.Helper()
	row, err := e.RunState(e.ctx(), owner, id, run)
	if err != nil {
		e.t.Fatalf("run %d: %v", run, err)
	}
	return row
}

// named gives the conversation a log in SQL and returns its name.
func (e *env) named(id conversation.ID, nonce string) conversation.Epoch {
	e.t.Helper()
	rec := e.load(id)
	c, _, err := e.NameLog(e.ctx(), id, rec.Log.Counter, rec.Fence)
	if err != nil {
		e.t.Fatalf("name log: %v", err)
	}
	ep := conversation.Epoch{Counter: c, Nonce: nonce}
	if err := e.RecordNonce(e.ctx(), id, ep, rec.Fence); err != nil {
		e.t.Fatalf("record nonce: %v", err)
	}
	return ep
}

func completion(cl conversation.Claim, text string) conversation.Finishing {
	return conversation.Finishing{ID: cl.Run.Conversation, Run: cl.Run.No, Fence: cl.Fence, State: conversation.RunCompleted, Base: 1, Text: text, Finish: "stop"}
}

// gapless checks that turns and facts are numbered from 1 without holes and
// that nothing is there twice.
func (e *env) gapless(id conversation.ID) (facts []conversation.Fact) {
	e.t.Helper()
	rec := e.load(id)
	for i, turn := range rec.Turns {
		if turn.N != int64(i)+1 {
			e.t.Errorf("turn %d is numbered %d", i+1, turn.N)
		}
	}
	facts, err := e.Facts(e.ctx(), id, 0, 10000)
	if err != nil || int64(len(facts)) != rec.Facts {
		e.t.Errorf("%d facts, the conversation counts %d (%v)", len(facts), rec.Facts, err)
	}
	for i, f := range facts {
		if f.N != int64(i)+1 {
			e.t.Errorf("fact %d is numbered %d", i+1, f.N)
		}
	}
	return facts
}

// parallel runs fn n times at once and returns the errors.
func parallel(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { <-start; errs[i] = fn(i) })
	}
	close(start)
	wg.Wait()
	return errs
}

// count counts nil errors; every other must be want.
func won(t *testing.T, errs []error, want error) int {
	t.Helper()
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
		} else if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	return n
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func code(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	if err == nil || fault.CodeOf(err) != want {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}

func kinds(fs []conversation.Fact) string {
	s := ""
	for _, f := range fs {
		s += fmt.Sprintf("%d:%s ", f.N, f.Type)
	}
	return s
}
