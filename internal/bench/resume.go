package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// ResumeOptions say how much Resume does.
type ResumeOptions struct {
	// Learners watch a reply of Tokens each, Rate a second, and are cut Cuts
	// times within it.
	Learners, Tokens, Cuts int
	Rate                   float64
}

// Resumes is what the cut viewers met.
type Resumes struct {
	// Waits are from the dial to caught_up, sorted.
	Waits []time.Duration
	// Snapshots counts resumes that were not served from the cursor.
	Snapshots, Lost, Doubled, Broken int
}

// Resume has learners watch a long reply over WebSocket, cuts each in the
// middle of it at random places, and measures how long it takes from the dial
// until they have all that was there.
func Resume(ctx context.Context, o *Options, ro ResumeOptions) (*Resumes, *Conditions, error) {
	st, err := o.stage(ctx, setting{learners: ro.Learners, conversations: 1, tokens: ro.Tokens, rate: ro.Rate})
	if err != nil {
		return nil, nil, err
	}
	defer st.close()
	out := &Resumes{}
	var mu sync.Mutex // guards out
	g, gctx := errgroup.WithContext(ctx)
	for i := range st.learners {
		g.Go(func() error {
			if err := pause(gctx, ramp*time.Duration(i)/time.Duration(ro.Learners)); err != nil {
				return err
			}
			v := &cutViewer{base: st.node.base, learner: &st.learners[i], cuts: make([]int, ro.Cuts)}
			for k := range v.cuts { // one in each part of the reply, clear of its ends
				part := ro.Tokens / (ro.Cuts + 1)
				v.cuts[k] = part*k + part/2 + rand.IntN(max(part, 1))
			}
			err := v.watch(gctx)
			mu.Lock()
			defer mu.Unlock()
			out.Waits = append(out.Waits, v.waits...)
			out.Snapshots += v.snapshots
			out.Lost += v.stamps.lost
			out.Doubled += v.stamps.doubled
			out.Broken += v.stamps.broken
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	slices.Sort(out.Waits)
	return out, st.conditions(), nil
}

// cutViewer is one learner.
type cutViewer struct {
	base    string
	learner *learner
	cuts    []int // token counts after which the connection goes

	ws        *wsClient
	cur       string
	stamps    stamps
	waits     []time.Duration
	snapshots int
}

var (
	curMark      = []byte(`"cur":"`)
	snapshotMark = []byte(`"t":"snapshot"`)
	eventsMark   = []byte(`{"t":"ev"`)
)

// watch asks for a reply and follows it to its end.
func (v *cutViewer) watch(ctx context.Context) error {
	conv := v.learner.conversations[0]
	var err error
	if v.ws, err = dialWS(ctx, v.base+"/api/v2/ws", v.learner.token, 4<<10); err != nil {
		return err
	}
	defer func() { v.ws.close() }()
	if err := subscribe(v.ws, conv); err != nil {
		return err
	}
	if err := v.ws.text(`{"t":"cmd","id":"1","op":"send","c":"` + conv + `","key":"resume-1","args":{"text":"Please go on."}}`); err != nil {
		return err
	}
	for {
		msg, err := v.ws.read()
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		done, err := v.take(msg)
		if done || err != nil {
			return err
		}
		if len(v.cuts) > 0 && v.stamps.next >= v.cuts[0] {
			v.cuts = v.cuts[1:]
			if done, err := v.resume(ctx, conv); done || err != nil {
				return err
			}
		}
	}
}

// take reads one frame; done says that the reply has ended.
func (v *cutViewer) take(msg []byte) (done bool, err error) {
	switch {
	case bytes.HasPrefix(msg, eventsMark):
		v.stamps.feedFrame(msg, nowMicro())
		if i := bytes.LastIndex(msg, curMark); i >= 0 {
			rest := msg[i+len(curMark):]
			v.cur = string(rest[:max(bytes.IndexByte(rest, '"'), 0)])
		}
		if bytes.Contains(msg, failMark) {
			return false, errors.New("the reply failed")
		}
		return bytes.Contains(msg, endMark), nil
	case bytes.HasPrefix(msg, []byte(`{"t":"err"`)), bytes.HasPrefix(msg, []byte(`{"t":"res"`)) && bytes.Contains(msg, []byte(`"ok":false`)):
		return false, fmt.Errorf("the server answers %.300s", msg)
	case bytes.Contains(msg, snapshotMark):
		v.snapshots++
	}
	return false, nil
}

// resume cuts the connection as a lost network does, and comes back.
func (v *cutViewer) resume(ctx context.Context, conv string) (done bool, err error) {
	v.ws.close()
	begun := time.Now()
	ws, err := dialWS(ctx, v.base+"/api/v2/ws", v.learner.token, 4<<10)
	if err != nil {
		return false, err
	}
	v.ws = ws
	if err := ws.text(`{"t":"hello","client":"bench/1","resume":[{"c":"` + conv + `","cur":"` + v.cur + `"}]}`); err != nil {
		return false, err
	}
	for {
		msg, err := ws.read()
		if err != nil {
			return done, fmt.Errorf("resume: %w", err)
		}
		ended, err := v.take(msg)
		if err != nil {
			return false, err
		}
		done = done || ended
		if bytes.Contains(msg, caughtUpMark) {
			v.waits = append(v.waits, time.Since(begun))
			return done, nil
		}
	}
}

// WriteResume prints how long resumes took.
func WriteResume(w io.Writer, r *Resumes, ro ResumeOptions, c *Conditions) {
	q := func(f float64) float64 { d, _ := Quantile(r.Waits, f); return ms(d) }
	_, _ = fmt.Fprintf(w, "%d learners × %g tokens/s, each watching a reply of %d tokens.\n\n", ro.Learners, ro.Rate, ro.Tokens)
	_, _ = fmt.Fprintln(w, "| resumes | dial to caught up p50 | p99 | longest | by snapshot | tokens lost, doubled |")
	_, _ = fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- |")
	_, _ = fmt.Fprintf(w, "| %d | %.1f ms | %.1f ms | %.1f ms | %d | %d, %d |\n", len(r.Waits), q(0.5), q(0.99), q(1), r.Snapshots, r.Lost, r.Doubled+r.Broken)
	writeConditions(w, c)
}
