package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Slow is what viewers that hardly read cost a node.
type Slow struct {
	Viewers int
	// Passed are the bytes of events that a viewer beside them received, Read
	// those that all slow ones took together.
	Passed, Read int64
	// Cuts counts slow viewers that were sent away and came again.
	Cuts int64
	// Alone and With are the node's greatest resident memory while the same
	// replies passed a quick viewer alone, and with the slow ones beside it.
	Alone, With int64
	// Calm and Beside are what others see of a reply, without slow viewers of
	// the same conversation and with them.
	Calm, Beside *Observed
}

// others are the quick viewers whose delay is measured.
const others = 10

// slowBytes is what a slow viewer reads in a second.
const slowBytes = 1 << 10

// SlowViewers lets replies pass a quick viewer until it has received so many
// bytes of events, first alone, then with slow viewers of the same
// conversation, each phase on a conversation of its own. Then others watch a
// reply, again without and with them.
func SlowViewers(ctx context.Context, o *Options, viewers int, bytes int64) (*Slow, *Conditions, error) {
	out := &Slow{Viewers: viewers}
	if err := out.weigh(ctx, o, viewers, bytes); err != nil {
		return nil, nil, err
	}
	c, err := out.others(ctx, o, viewers)
	return out, c, err
}

// weigh measures memory.
func (r *Slow) weigh(ctx context.Context, o *Options, viewers int, bytes int64) error {
	with := *o
	with.Env = append(with.Env, fmt.Sprintf("FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=%d", 2*viewers+2))
	st, err := with.stage(ctx, setting{learners: 1, conversations: 2, tokens: 300, rate: 3000})
	if err != nil {
		return err
	}
	defer st.close()
	l := &st.learners[0]
	if r.Alone, _, err = st.passing(ctx, l, l.conversations[0], bytes); err != nil {
		return err
	}
	o.say("alone: at most %.1f MiB", mib(r.Alone))
	if _, err := st.node.memory(ctx); err != nil { // gives back what the first phase needed
		return err
	}
	var slow dawdlers
	slow.begin(ctx, st.node.base, l, l.conversations[1], viewers)
	r.With, r.Passed, err = st.passing(ctx, l, l.conversations[1], bytes)
	slow.end()
	r.Cuts, r.Read = slow.cuts.Load(), slow.read.Load()
	return err
}

// others measures what quick viewers see. The reply is long enough that the
// slow ones fall behind for most of it.
func (r *Slow) others(ctx context.Context, o *Options, viewers int) (*Conditions, error) {
	const tokens, rate = 2000, 200
	with := *o
	with.Env = append(with.Env, fmt.Sprintf("FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=%d", viewers+others+2))
	st, err := with.stage(ctx, setting{learners: 1, conversations: 2, tokens: tokens, rate: rate})
	if err != nil {
		return nil, err
	}
	defer st.close()
	l := &st.learners[0]
	if r.Calm, err = st.observe(ctx, l, l.conversations[0], others, tokens, rate); err != nil {
		return nil, err
	}
	o.say("others alone: p99 %.1f ms", ms(r.Calm.P99))
	var slow dawdlers
	slow.begin(ctx, st.node.base, l, l.conversations[1], viewers)
	r.Beside, err = st.observe(ctx, l, l.conversations[1], others, tokens, rate)
	slow.end()
	return st.conditions(), err
}

// dawdlers are slow viewers of one conversation.
type dawdlers struct {
	wg         sync.WaitGroup
	stop       context.CancelFunc
	cuts, read atomic.Int64
}

func (d *dawdlers) begin(ctx context.Context, base string, l *learner, conv string, n int) {
	ctx, d.stop = context.WithCancel(ctx)
	for range n {
		d.wg.Go(func() { dawdle(ctx, base, l.token, conv, &d.cuts, &d.read) })
	}
}

func (d *dawdlers) end() {
	d.stop()
	d.wg.Wait()
}

// passing asks for replies until a quick viewer has received bytes, and
// returns the node's greatest resident memory meanwhile.
func (s *stage) passing(ctx context.Context, l *learner, conv string, bytes int64) (peak, passed int64, err error) {
	var g gauge
	quick, err := openSocket(ctx, s.node.base, &g, l, conv)
	if err != nil {
		return 0, 0, err
	}
	defer quick.close()
	done := make(chan struct{})
	var wg sync.WaitGroup
	var perr error
	wg.Go(func() {
		for perr == nil {
			var rss int64
			if rss, perr = residentBytes(s.node.pid()); perr == nil {
				peak = max(peak, rss)
			}
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	for err == nil && quick.ws.got.Load() < bytes {
		if err = quick.start(); err != nil {
			break
		}
		select {
		case err = <-quick.ended:
		case <-time.After(time.Minute):
			err = errors.New("a reply does not end")
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	close(done)
	wg.Wait()
	return peak, quick.ws.got.Load(), errors.Join(err, perr)
}

// dawdle is one slow viewer: it comes again when it is sent away.
func dawdle(ctx context.Context, base, token, conv string, cuts, read *atomic.Int64) {
	for n := 0; ctx.Err() == nil; n++ {
		if n > 0 {
			cuts.Add(1)
			if pause(ctx, time.Second) != nil {
				return
			}
		}
		ws, err := dialWS(ctx, base+"/api/v2/ws", token, 256)
		if err != nil {
			continue
		}
		if t, ok := ws.nc.(*net.TCPConn); ok {
			_ = t.SetReadBuffer(4 << 10)
		}
		err = errors.Join(ws.text(`{"t":"hello","client":"bench/1"}`), ws.text(`{"t":"sub","id":"s","c":"`+conv+`"}`))
		for err == nil {
			var k int64
			k, err = io.CopyN(io.Discard, ws.br, slowBytes)
			read.Add(k)
			if err == nil {
				err = pause(ctx, time.Second)
			}
		}
		ws.close()
	}
}

// WriteSlow prints what slow viewers cost.
func WriteSlow(w io.Writer, r *Slow, c *Conditions) {
	_, _ = fmt.Fprintln(w, "| viewers that read 1 KB/s | events passed each | taken by all together | sent away | node without them, most | with them, most | growth |")
	_, _ = fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- |")
	_, _ = fmt.Fprintf(w, "| %d | %.1f MB | %.2f MB | %d times | %.1f MiB | %.1f MiB | %.1f MiB |\n", r.Viewers, float64(r.Passed)/1e6, float64(r.Read)/1e6,
		r.Cuts, mib(r.Alone), mib(r.With), mib(r.With-r.Alone))
	_, _ = fmt.Fprintln(w)
	_, _ = fmt.Fprintf(w, "| %d others who watch 200 tokens/s | delay p50 | p99 | longest | tokens lost, doubled |\n", others)
	_, _ = fmt.Fprintln(w, "| --- | --- | --- | --- | --- |")
	for _, p := range []struct {
		name string
		o    *Observed
	}{{"without slow viewers", r.Calm}, {"beside them", r.Beside}} {
		_, _ = fmt.Fprintf(w, "| %s | %.2f ms | %.1f ms | %.1f ms | %d, %d |\n", p.name, ms(p.o.P50), ms(p.o.P99), ms(p.o.Max), p.o.Lost, p.o.Doubled+p.o.Broken)
	}
	writeConditions(w, c)
}
