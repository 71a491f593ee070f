package redislog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// denial is a way in which a Redis that is there, and is read, takes no writes.
type denial struct {
	name    string
	on, off func(e *env)
}

func set(setting, value string) func(e *env) {
	return func(e *env) { e.t.Helper(); e.do("CONFIG", "SET", setting, value) }
}

// refusals need a Redis made by newRefusing.
func refusals(dir string) []denial {
	dump := filepath.Join(dir, "dump.rdb")
	save := func(e *env, want string) {
		e.t.Helper()
		testenv.Eventually(e.t, 30*time.Second, func() error {
			info, err := e.rdb.Info(e.t.Context(), "persistence").Result()
			switch {
			case err != nil:
				return err
			case strings.Contains(info, "rdb_bgsave_in_progress:1"):
				return errors.New("it saves")
			case strings.Contains(info, "rdb_last_bgsave_status:"+want):
				return nil
			}
			e.do("BGSAVE")
			return errors.New("the last save is not " + want)
		})
	}
	return []denial{
		{name: "OOM", on: set("maxmemory", "1"), off: set("maxmemory", "0")},
		{name: "NOREPLICAS", on: set("min-replicas-to-write", "1"), off: set("min-replicas-to-write", "0")},
		{name: "MISCONF", on: func(e *env) {
			// A directory in the place of the dump: renaming onto it fails.
			if err := os.RemoveAll(dump); err != nil {
				e.t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(dump, "full"), 0o700); err != nil {
				e.t.Fatal(err)
			}
			e.do("CONFIG", "SET", "save", "3600 1")
			save(e, "err")
		}, off: func(e *env) {
			if err := os.RemoveAll(dump); err != nil {
				e.t.Fatal(err)
			}
			save(e, "ok")
		}},
		{name: "READONLY", on: func(e *env) { e.do("REPLICAOF", "127.0.0.1", "1") }, off: func(e *env) { e.do("REPLICAOF", "NO", "ONE") }},
	}
}

// refusing runs a test under each denial, with both kinds of identity.
func refusing(t *testing.T, fn func(t *testing.T, e *env, r denial)) {
	t.Helper()
	for i := range refusals("") {
		for _, mode := range []string{"r", "m"} {
			t.Run(refusals("")[i].name+"-"+mode, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				srv := testenv.Redis(t, "--dir", dir)
				e := newEnv(t, srv.Addr, mode, srv)
				e.log = e.open(redislog.Options{})
				fn(t, e, refusals(dir)[i])
			})
		}
	}
}

// step is one call that writes.
type step struct {
	name string
	do   func(e *env, id conversation.ID, ep conversation.Epoch) error
}

func steps() []step {
	return []step{
		{"append", func(e *env, id conversation.ID, ep conversation.Epoch) error {
			_, _, err := e.log.Append(e.t.Context(), id, ep, piece(1, fence+1, 4, "more"))
			return err
		}},
		{"begin, going on", func(e *env, id conversation.ID, ep conversation.Epoch) error {
			_, err := e.log.Begin(e.t.Context(), id, ep, begin(conversation.BeginContinue, 2, fence+2))
			return err
		}},
		{"begin anew", func(e *env, id conversation.ID, ep conversation.Epoch) error {
			_, err := e.log.Begin(e.t.Context(), id, ep, begin(conversation.BeginRestart, 2, fence+2))
			return err
		}},
		{"rebuild", func(e *env, id conversation.ID, ep conversation.Epoch) error {
			b := begin(conversation.BeginRebuild, 2, fence+2)
			b.Text, b.Base = "he😀 and more", 1
			_, err := e.log.Begin(e.t.Context(), id, ep, b)
			return err
		}},
		{"stop", func(e *env, id conversation.ID, ep conversation.Epoch) error {
			_, err := e.log.Stop(e.t.Context(), id, ep, 2)
			return err
		}},
		{"fact with a turn", func(e *env, id conversation.ID, ep conversation.Epoch) error {
			_, _, err := e.log.PutFact(e.t.Context(), id, ep, accepted(3))
			return err
		}},
		{"fact that ends the run", func(e *env, id conversation.ID, ep conversation.Epoch) error {
			_, _, err := e.log.PutFact(e.t.Context(), id, ep, completed(3))
			return err
		}},
		{"create", func(e *env, id conversation.ID, _ conversation.Epoch) error {
			_, err := e.log.Create(e.t.Context(), id, 2, conversation.Seed{Fence: fence + 2, Facts: 2, Header: header(id), Result: []byte(`{"r":1}`),
				Turns: []conversation.Turn{{N: 1, ID: "t1", Author: conversation.Partner, Text: "Hello.", Run: 1, Finish: "stop", At: 1}}})
			return err
		}},
	}
}

// A Redis that takes no writes refuses each script as a whole, and what is
// there is read as before. When it takes them again the same call does what it
// would have done.
func TestRefusedWholly(t *testing.T) {
	refusing(t, func(t *testing.T, e *env, r denial) {
		type place struct {
			step
			id     conversation.ID
			ep     conversation.Epoch
			before map[string]any
		}
		var places []place
		for _, s := range steps() {
			id, ep := e.writing()
			places = append(places, place{step: s, id: id, ep: ep, before: e.dump(id)})
		}
		r.on(e)
		for _, p := range places {
			errIs(t, p.name, p.do(e, p.id, p.ep), conversation.ErrLogDown)
			same(t, p.name, p.before, e.dump(p.id))
			if a := e.active(p.id); a.State.Open == nil || a.State.Open.Text != "he😀" {
				t.Errorf("after the refused %s the state reads %+v", p.name, a.State.Open)
			}
			if got := len(e.types(p.id, p.ep)); got != 2 {
				t.Errorf("after the refused %s %d entries are read, want 2", p.name, got)
			}
			errIs(t, "writable", e.log.Writable(t.Context(), p.id), conversation.ErrLogDown)
		}
		r.off(e)
		if r.name == "READONLY" && e.mode == "r" {
			return // a promoted replica is another incarnation: its logs are made anew
		}
		for _, p := range places {
			errIs(t, p.name+", again", p.do(e, p.id, p.ep), nil)
			errIs(t, "writable again", e.log.Writable(t.Context(), p.id), nil)
		}
	})
}

// Looking at what is there needs no write, at a node that has just started too.
func TestRefusedReadsGoOn(t *testing.T) {
	refusing(t, func(t *testing.T, e *env, r denial) {
		id, ep := e.writing()
		r.on(e)
		e.log = e.open(redislog.Options{})
		if got := len(e.types(id, ep)); got != 2 {
			t.Errorf("%d entries are read, want 2", got)
		}
	})
}

// Refusals of appends that go together are answers: they do not shut the gate,
// which would keep readers from what Redis would tell them.
func TestRefusalIsAnAnswer(t *testing.T) {
	refusing(t, func(t *testing.T, e *env, r denial) {
		id, ep := e.writing()
		r.on(e)
		for range 8 {
			_, _, err := e.log.Append(t.Context(), id, ep, piece(1, fence+1, 4, "more"))
			errIs(t, "append", err, conversation.ErrLogDown)
			if err == nil || !strings.Contains(err.Error(), r.name) {
				t.Errorf("the reason is not told: %v", err)
			}
		}
		if _, err := e.log.Active(t.Context(), id); err != nil {
			t.Errorf("a read after refused appends: %v", err)
		}
		var said *conversation.RefusedError
		if err := e.log.Try(t.Context()); !errors.As(err, &said) || said.Reason != r.name {
			t.Errorf("a try says %v", err)
		}
	})
}

// What only frees memory is done by a Redis that is full.
func TestFullRedisIsFreed(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t)
	e := newEnv(t, srv.Addr, "r", srv)
	id, _ := e.writing()
	e.do("CONFIG", "SET", "maxmemory", "1")
	if _, err := e.log.Compact(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := e.log.Shred(t.Context(), id, 7); err != nil {
		t.Error(err)
	}
	if _, err := e.log.Active(t.Context(), id); !errors.Is(err, conversation.ErrLogMissing) {
		t.Errorf("the shredded log answers %v", err)
	}
}

// A writer that walks into the limit leaves a log that reads whole, with just
// the text that was acknowledged, and goes on there when there is room again.
func TestWalkIntoTheLimit(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t)
	e := newEnv(t, srv.Addr, "r", srv)
	id, ep := e.writing()
	info, err := e.rdb.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	used, err := strconv.Atoi(strings.TrimSpace(strings.Split(strings.SplitN(info, "used_memory:", 2)[1], "\r\n")[0]))
	if err != nil {
		t.Fatal(err)
	}
	e.do("CONFIG", "SET", "maxmemory", strconv.Itoa(used+256<<10))
	text, at, refused := "he😀", int64(4), 0
	for i := 0; refused < 20 && i < 100_000; i++ {
		more := strings.Repeat("x", 1+i%3000)
		_, _, err := e.log.Append(t.Context(), id, ep, piece(1, fence+1, at, more))
		if err != nil {
			errIs(t, "append", err, conversation.ErrLogDown)
			refused++
			continue
		}
		text, at = text+more, at+int64(len(more))
	}
	if refused == 0 {
		t.Fatal("the limit was never met")
	}
	if a := e.active(id); a.State.Open.Text != text || a.OpenLen != at {
		t.Errorf("%d units stand there, want the %d that were acknowledged", a.OpenLen, at)
	}
	e.do("CONFIG", "SET", "maxmemory", "0")
	if _, _, err := e.log.Append(t.Context(), id, ep, piece(1, fence+1, at, "end")); err != nil {
		t.Fatal(err)
	}
	var read strings.Builder
	p, err := e.log.Read(t.Context(), id, ep, 0, 4000)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range p.Events {
		read.WriteString(ev.Text)
	}
	if read.String() != text+"end" {
		t.Errorf("the log reads %d bytes, want %d", read.Len(), len(text)+3)
	}
}

// SCRIPT FLUSH between two calls is nobody's trouble.
func TestScriptsForgotten(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t)
	e := newEnv(t, srv.Addr, "r", srv)
	for _, s := range steps() {
		id, ep := e.writing()
		e.do("SCRIPT", "FLUSH")
		errIs(t, s.name, s.do(e, id, ep), nil)
		e.do("SCRIPT", "FLUSH")
		e.active(id)
	}
}
