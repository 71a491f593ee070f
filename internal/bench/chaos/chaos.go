// Package chaos breaks a running FluentPro on purpose and proves from outside
// what survives: three real nodes, a real Redis, a real Postgres, a model whose
// every token is known, learners and viewers on mixed transports behind
// proxies. What happened is written as NDJSON (package history) and judged
// afterwards by package check, which knows that history alone.
//
// Everything is a process that this package starts and ends; it runs on Unix.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/check"
	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// Options say where things are and what to do.
type Options struct {
	// Binary is the program under test.
	Binary string
	// DatabaseURL is a Postgres whose user may create databases.
	DatabaseURL string
	// Dir takes logs and histories.
	Dir string
	// Talk gets progress, one line each.
	Talk io.Writer
	// Seed makes the schedule; what processes do with it is their own.
	Seed uint64
	// Faults are names of scenarios, all if empty. Count replaces each one's
	// own, if not 0; Brief takes the counts of the short run.
	Faults []string
	Count  int
	Brief  bool
	// Busy excuses what only a starved machine does, see history.Rules; Brief
	// does so too.
	Busy bool
	// Times multiplies every count, if above 1.
	Times int
}

func (o *Options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Talk, format+"\n", args...)
}

// scenario is one kind of fault, injected so many times.
type scenario struct {
	name, short, unit string
	// count is that of a whole run, brief that of the short one.
	count, brief int
	rules        func(count int) history.Rules
	fleet        func(count int) fleetOptions
	play         func(ctx context.Context, st *stage, count int) error
}

// Outcome is what one scenario came to.
type Outcome struct {
	Name, Short, Unit string
	Count             int
	Took              time.Duration
	Result            check.Result
	// History is its file.
	History string
	// Notes are figures of the scenario's own.
	Notes []string
	// Err is set when the scenario could not be played to its end.
	Err error
}

// OK says that every promise held.
func (u *Outcome) OK() bool { return u.Err == nil && len(u.Result.Violations) == 0 }

// Entry is name and purpose of a scenario, for the help.
type Entry struct {
	Name, Short, Unit string
	Count, Brief      int
}

// List names the scenarios in the order in which they run.
func List() []Entry {
	var out []Entry
	for _, s := range scenarios {
		out = append(out, Entry{s.name, s.short, s.unit, s.count, s.brief})
	}
	return out
}

func find(name string) *scenario {
	for _, s := range scenarios {
		if s.name == name {
			return s
		}
	}
	return nil
}

// ErrUnknown says that no scenario has this name.
var ErrUnknown = errors.New("no such fault")

// Run plays the scenarios one after the other. An error means that the run
// could not be made; broken promises are in the outcomes.
func Run(ctx context.Context, o *Options) ([]Outcome, *Conditions, error) {
	play := scenarios
	if len(o.Faults) > 0 {
		play = nil
		for _, name := range o.Faults {
			s := find(name)
			if s == nil {
				return nil, nil, fmt.Errorf("%w: %q", ErrUnknown, name)
			}
			play = append(play, s)
		}
	}
	o.say("seed %d, files in %s", o.Seed, o.Dir)
	r, err := newRig(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	cond := &Conditions{Postgres: r.database.version, Seed: o.Seed}
	if err := cond.read(ctx, r.database); err != nil {
		return nil, nil, errors.Join(err, r.close())
	}
	var out []Outcome
	for _, s := range play {
		count := s.count
		if o.Brief {
			count = s.brief
		}
		if o.Count > 0 {
			count = o.Count
		}
		u := r.one(ctx, s, count*max(o.Times, 1))
		out = append(out, u)
		if ctx.Err() != nil {
			return out, cond, errors.Join(context.Cause(ctx), r.close())
		}
	}
	return out, cond, r.close()
}

// one plays a scenario and has its history judged.
func (r *rig) one(ctx context.Context, s *scenario, count int) Outcome {
	u := Outcome{Name: s.name, Short: s.short, Unit: s.unit, Count: count}
	begun := time.Now()
	r.o.say("%s: %s, %d %s", s.name, s.short, count, s.unit)
	rules := s.rules(count)
	rules.Busy = r.o.Brief || r.o.Busy
	st, err := r.newStage(ctx, s.name, r.o.Seed, s.fleet(count), rules)
	if err != nil {
		u.Err = err
		return u
	}
	u.Err = s.play(ctx, st, count)
	path, err := st.finish(ctx)
	u.Err = errors.Join(u.Err, err)
	u.History, u.Notes = path, st.notes
	u.Took = time.Since(begun)
	records, err := Load(path)
	if err != nil {
		u.Err = errors.Join(u.Err, err)
		return u
	}
	u.Result = check.Check(records)
	state := "holds"
	if !u.OK() {
		state = fmt.Sprintf("%d violations, %v", u.Result.Figures.Violations, u.Err)
	}
	r.o.say("%s: %s after %.0f s, %d lines", s.name, state, u.Took.Seconds(), len(records))
	return u
}

// Load reads a history from a file.
func Load(path string) ([]history.Record, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return history.Read(f)
}

// scenarios in the order in which they run.
var scenarios = []*scenario{&killing, &pausing, &cutting, &redisKilling, &flushing, &filling, &rollingBack, &failingOver, &hanging, &sqlCutting, &repeating, &rolling, &slowing, &crossing, &darkening}
