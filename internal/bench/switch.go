package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// SwitchOptions say how a text is broken off and taken up again.
type SwitchOptions struct {
	// Resumes is how often at least; a text that has begun is read to its end.
	Resumes int
	// Learners read at once, each a conversation of its own.
	Learners int
	// Tokens is the length of a reply, Rate how many come in a second. The
	// model must be fake's checkable-<Tokens>.
	Tokens int
	Rate   float64
	// Hold is the mean time that a connection lives; its real one is random.
	Hold time.Duration
	// Seed makes transports, nodes and times the same again; the server's own
	// timing is not.
	Seed uint64
}

// Reader is a learner and the conversation that is read.
type Reader struct{ Token, Conversation string }

// Switches is what readers saw who changed the transport at every resume.
type Switches struct {
	// Total counts attaches after the first of each text, Texts whole replies
	// that were compared.
	Total, Texts int
	// Early are those of Total that were cut before they had caught up.
	Early int
	// Wrong counts texts that were not exactly what the model said, Breaches
	// broken promises of the protocol, by kind.
	Wrong    int
	Breaches map[string]int
	// Times are from the beginning of an attach until it had caught up.
	Times map[client.Transport][]time.Duration
	// Refused counts attaches that the server put off (too many connections of
	// one learner, before it knew that the last one was gone); they came again.
	Refused int
	// Snapshots counts attaches that were answered by a snapshot in place of
	// what was missed.
	Snapshots int
}

// Switched are the transports that take turns, never the same one twice in a
// row.
var Switched = []client.Transport{client.OverWS, client.OverEventSource, client.OverSSE, client.OverPoll}

const (
	// earlyCut is the share of attaches that end at a random moment at once,
	// whether they have caught up or not.
	earlyCut = 8
	// attachLimit bounds one attach, textLimit one reply.
	attachLimit = 30 * time.Second
	// patience is the pause after a refusal; closeTooMany is one.
	patience     = 100 * time.Millisecond
	closeTooMany = 4430
	textLimit    = 5 * time.Minute
)

// BreakOff has every reader read replies that it takes up again and again, at
// random moments, at a random node, over another transport with the same
// cursor each time. It returns what they saw; an error is trouble of the test.
func BreakOff(ctx context.Context, bases []string, readers []Reader, ro SwitchOptions) (*Switches, error) {
	out := &Switches{Breaches: map[string]int{}, Times: map[client.Transport][]time.Duration{}}
	var mu sync.Mutex // guards out
	var total atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for i := range readers {
		g.Go(func() error {
			tr := &http.Transport{MaxIdleConnsPerHost: 4}
			defer tr.CloseIdleConnections()
			b := &breaker{
				ro: &ro, bases: bases, reader: &readers[i], total: &total, http: &http.Client{Transport: tr},
				rnd:  rand.New(rand.NewPCG(ro.Seed, uint64(i))), //nolint:gosec // chance, not secrecy
				view: client.NewView(readers[i].Conversation), times: map[client.Transport][]time.Duration{},
			}
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				b.addTo(out)
			}()
			for n := 0; total.Load() < int64(ro.Resumes); n++ {
				if err := b.text(gctx, fmt.Sprintf("r%dn%d", i, n)); err != nil {
					return fmt.Errorf("reader %d, text %d: %w", i, n, err)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return out, err
}

// breaker is one reader at work.
type breaker struct {
	ro     *SwitchOptions
	bases  []string
	reader *Reader
	http   *http.Client
	rnd    *rand.Rand
	view   *client.View
	total  *atomic.Int64 // of all readers
	last   client.Transport

	mine, early, refused, texts, wrong int
	times                              map[client.Transport][]time.Duration
}

func (b *breaker) addTo(out *Switches) {
	out.Total += b.mine
	out.Early += b.early
	out.Refused += b.refused
	out.Texts += b.texts
	out.Wrong += b.wrong
	for t, d := range b.times {
		out.Times[t] = append(out.Times[t], d...)
	}
	for _, v := range b.view.Violations() {
		out.Breaches[v.Kind]++
	}
	b.view.Look(func(f *client.Fold) { out.Snapshots += f.Snapshots })
}

// text sends one message and reads its reply.
func (b *breaker) text(ctx context.Context, tag string) error {
	ctx, cancel := context.WithTimeout(ctx, textLimit)
	defer cancel()
	a := &api{client: b.http, base: b.pick()}
	var sent client.Accepted
	err := a.call(ctx, b.reader.Token, http.MethodPost, "/conversations/"+b.reader.Conversation+"/messages",
		object{"client_id": tag, "text": "Good morning. [tag " + tag + "]"}, &sent)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		over, err := b.attach(ctx, sent.Run)
		if err != nil {
			return fmt.Errorf("over %s: %w", over, err)
		}
		if n > 0 {
			b.mine++
			b.total.Add(1)
		}
		if b.ended(sent.Run) {
			break
		}
	}
	b.texts++
	want := fake.Checkable(tag, b.ro.Tokens)
	b.view.Look(func(f *client.Fold) {
		if r := f.Runs[sent.Run]; r.Ended != "completed" || r.Text() != want || r.Restarts > 0 {
			b.wrong++
		}
	})
	return nil
}

func (b *breaker) pick() string { return b.bases[b.rnd.IntN(len(b.bases))] }

func (b *breaker) ended(run int64) (ended bool) {
	b.view.Look(func(f *client.Fold) { r := f.Runs[run]; ended = r != nil && r.Ended != "" })
	return ended
}

// attach reads over one connection for a random time.
func (b *breaker) attach(ctx context.Context, run int64) (client.Transport, error) {
	others := slices.DeleteFunc(slices.Clone(Switched), func(t client.Transport) bool { return t == b.last })
	over := others[b.rnd.IntN(len(others))]
	b.last = over
	o := &client.Options{Bases: []string{b.pick()}, Token: func() string { return b.reader.Token }, HTTP: b.http, Name: "bench/1"}
	hold := time.Duration(b.rnd.ExpFloat64() * float64(b.ro.Hold))
	early := b.rnd.IntN(earlyCut) == 0

	parent := ctx
	ctx, cut := context.WithTimeout(ctx, attachLimit)
	defer cut()
	begun := time.Now()
	done := make(chan error, 1)
	b.view.Detached()
	go func() { done <- client.Attach(ctx, o, over, b.view) }() // ends with ctx; waited for below
	caught := make(chan struct{})
	go func() {
		defer close(caught)
		_ = b.view.WaitCaughtUp(ctx) // or the attach has ended
	}()
	if early {
		b.early++
	} else {
		select {
		case <-caught:
			b.times[over] = append(b.times[over], time.Since(begun))
		case err := <-done:
			cut()
			<-caught
			return over, b.ownEnd(parent, err)
		}
	}
	// Whatever is shown by then: the cut comes between two events, or in one.
	left, stop := context.WithTimeout(ctx, hold)
	_ = b.view.WaitEnded(left, run)
	stop()
	cut()
	<-caught
	if err := <-done; !errors.Is(err, context.Canceled) {
		return over, b.ownEnd(parent, err)
	}
	return over, nil
}

// ownEnd judges why an attach ended that nobody cut.
func (b *breaker) ownEnd(ctx context.Context, err error) error {
	var p *client.Problem
	switch {
	case err == nil:
		return errors.New("the server ended it")
	case errors.Is(err, client.ErrResume):
		return nil // the fold has written down what was missing
	case errors.As(err, &p) && p.Retryable, client.CloseCode(err) == closeTooMany:
		b.refused++
		return pause(ctx, patience)
	}
	return err
}

// Breaches of all kinds, for a line.
func (r *Switches) breaches() string {
	if len(r.Breaches) == 0 {
		return "none"
	}
	var out []string
	for kind, n := range r.Breaches {
		out = append(out, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// Switch starts two nodes and has readers break off and resume there.
func Switch(ctx context.Context, o *Options, ro SwitchOptions) (*Switches, *Conditions, error) {
	redis, err := o.redis(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer redis.stop()
	pg, err := o.postgres(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer pg.close()
	learners, err := o.seed(ctx, redis.url, ro.Learners, 1)
	if err != nil {
		return nil, nil, err
	}
	model := fmt.Sprintf("checkable-%d", ro.Tokens)
	upstream, err := o.standIn(ctx, model, 50*time.Millisecond, ro.Rate)
	if err != nil {
		return nil, nil, err
	}
	defer upstream.stop()
	var bases []string
	for _, name := range []string{"node-1", "node-2"} {
		n, err := o.serve(ctx, name, o.Binary, redis.url, upstream.base, model)
		if err != nil {
			return nil, nil, err
		}
		defer n.stop()
		bases = append(bases, n.base)
	}
	readers := make([]Reader, len(learners))
	for i, l := range learners {
		readers[i] = Reader{l.token, l.conversations[0]}
	}
	r, err := BreakOff(ctx, bases, readers, ro)
	return r, &Conditions{Redis: redis.version, Postgres: pg.version}, err
}

// WriteSwitches prints what readers saw who broke off at random moments.
func WriteSwitches(w io.Writer, r *Switches, ro SwitchOptions, c *Conditions) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("| resumes at random moments, another transport each time | cut before caught up | put off | texts compared | wrong texts | promises broken | snapshots |")
	p("| --- | --- | --- | --- | --- | --- | --- |")
	p("| %d | %d | %d | %d | %d | %s | %d |", r.Total, r.Early, r.Refused, r.Texts, r.Wrong, r.breaches(), r.Snapshots)
	p("")
	p("| attach to caught up | attaches | p50 | p99 | longest |")
	p("| --- | --- | --- | --- | --- |")
	var all []time.Duration
	line := func(name string, d []time.Duration) {
		slices.Sort(d)
		q := func(f float64) float64 { v, _ := Quantile(d, f); return ms(v) }
		p("| %s | %d | %.1f ms | %.1f ms | %.1f ms |", name, len(d), q(0.5), q(0.99), q(1))
	}
	for _, t := range Switched {
		line(string(t), r.Times[t])
		all = append(all, r.Times[t]...)
	}
	line("all", all)
	p("")
	p("- seed %d, %d readers, replies of %d tokens at %.0f a second, connections of %s in the mean, two nodes", ro.Seed, ro.Learners, ro.Tokens, ro.Rate, ro.Hold)
	writeConditions(w, c)
}
