package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// Kills is what viewers saw when the writing node was killed.
type Kills struct {
	// Waits are the times from the kill to the first new character.
	Waits []time.Duration
	// Lost, Doubled and TakenBack count characters; Unfinished counts replies
	// that did not end as completed.
	Lost, Doubled, TakenBack, Unfinished int
	// Elsewhere counts tries in which the watching node had claimed the run
	// first, as any node may, so that the wrong one was killed. Their texts are
	// judged too, their waits mean nothing.
	Elsewhere int
}

var errElsewhere = errors.New("another node wrote the reply")

const (
	killTokens = 120
	killRate   = 30
	killFirst  = 300 * time.Millisecond
)

// Kill starts a reply on one node, watches it on another, and kills the first
// in the middle, so many times.
func Kill(ctx context.Context, o *Options, count int) (*Kills, *Conditions, error) {
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
	const each = 10
	tries := count + count/2 + 5
	learners, err := o.seed(ctx, redis.url, (tries+each-1)/each, each)
	if err != nil {
		return nil, nil, err
	}
	model := fmt.Sprintf("checkable-%d", killTokens)
	upstream, err := o.standIn(ctx, model, killFirst, killRate)
	if err != nil {
		return nil, nil, err
	}
	defer upstream.stop()
	stays, err := o.serve(ctx, "stays", o.Binary, redis.url, upstream.base, model)
	if err != nil {
		return nil, nil, err
	}
	defer stays.stop()
	k := &Kills{}
	var ends sync.WaitGroup
	var mu sync.Mutex // guards k from the replies that end in the background
	for i := 0; i < tries && len(k.Waits) < count; i++ {
		l := &learners[i/each]
		s := &scene{o: o, redis: redis.url, upstream: upstream.base, model: model, stays: stays, learner: l, conv: l.conversations[i%each], no: i}
		wait, err := s.play(ctx)
		if errors.Is(err, errElsewhere) {
			k.Elsewhere++
		} else if err != nil {
			s.close()
			ends.Wait()
			return k, nil, fmt.Errorf("kill %d: %w", i+1, err)
		}
		if err == nil {
			k.Waits = append(k.Waits, wait)
			o.say("kill %d: %d ms", i+1, wait.Milliseconds())
		}
		ends.Go(func() {
			defer s.close()
			v := s.end(ctx)
			mu.Lock()
			defer mu.Unlock()
			k.Lost += v.lost
			k.Doubled += v.doubled
			k.TakenBack += v.taken
			if v.ended != "completed" {
				k.Unfinished++
			}
			if v.lost+v.doubled+v.taken > 0 || v.ended != "completed" {
				o.say("kill %d: lost %d, doubled %d, taken back %d, ended %q", s.no+1, v.lost, v.doubled, v.taken, v.ended)
			}
		})
	}
	ends.Wait()
	if len(k.Waits) < count {
		return k, nil, fmt.Errorf("only %d of %d kills hit the writing node", len(k.Waits), count)
	}
	return k, &Conditions{Redis: redis.version, Postgres: pg.version}, nil
}

// scene is one kill.
type scene struct {
	o                      *Options
	redis, upstream, model string
	stays, dies            *child
	learner                *learner
	conv                   string
	no                     int

	ws *wsClient
	wg sync.WaitGroup

	mu   sync.Mutex // guards what follows
	view view
	grew []growth
	news chan struct{} // closed and made anew with every frame
	err  error
}

// play brings the scene to the first new character after the kill.
func (s *scene) play(ctx context.Context) (time.Duration, error) {
	var err error
	if s.dies, err = s.o.serve(ctx, "dies", s.o.Binary, s.redis, s.upstream, s.model); err != nil {
		return 0, err
	}
	tag := fmt.Sprintf("k%d", s.no)
	s.view.want, s.news = fake.Checkable(tag, killTokens), make(chan struct{})
	if s.ws, err = dialWS(ctx, s.stays.base+"/api/v2/ws", s.learner.token, 4<<10); err != nil {
		return 0, err
	}
	if err := subscribe(s.ws, s.conv); err != nil {
		return 0, err
	}
	s.wg.Go(s.watch)
	a := newAPI(s.dies.base)
	defer a.close()
	var sent struct {
		Run int64 `json:"run"`
	}
	if err := a.call(ctx, s.learner.token, "POST", "/conversations/"+s.conv+"/messages", object{"client_id": "m", "text": "[tag " + tag + "] Please go on."}, &sent); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.view.watch(sent.Run)
	s.mu.Unlock()
	if err := s.await(ctx, 10*time.Second, func() bool { return len(s.view.text) > 0 }); err != nil {
		return 0, fmt.Errorf("the reply does not begin: %w", err)
	}
	if err := pause(ctx, 200*time.Millisecond+rand.N(time.Second)); err != nil {
		return 0, err
	}
	s.mu.Lock()
	attempt := s.view.attempt
	s.grew = nil
	s.mu.Unlock()
	killed := time.Now()
	s.dies.kill()
	var first time.Time
	err = s.await(ctx, 30*time.Second, func() bool {
		for _, g := range s.grew {
			if g.attempt > attempt {
				first = g.at
				return true
			}
		}
		return s.view.ended != ""
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("no new character: %w", err)
	case first.IsZero():
		return 0, errElsewhere
	}
	return first.Sub(killed), nil
}

// watch reads until the connection ends.
func (s *scene) watch() {
	for {
		msg, err := s.ws.read()
		now := time.Now()
		if err == nil && bytes.HasPrefix(msg, pingMark) {
			err = s.ws.text(strings.Replace(string(msg), "ping", "pong", 1))
		}
		s.mu.Lock()
		if err == nil {
			var grew bool
			var attempt int64
			if grew, attempt, err = s.view.frame(msg); grew {
				s.grew = append(s.grew, growth{now, attempt})
			}
		}
		s.err = err
		close(s.news)
		s.news = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await waits until cond holds; it is called under the lock.
func (s *scene) await(ctx context.Context, limit time.Duration, cond func() bool) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	for {
		s.mu.Lock()
		ok, news, err := cond(), s.news, s.err
		s.mu.Unlock()
		switch {
		case ok:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-news:
		case <-t.C:
			return fmt.Errorf("not within %s", limit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// end waits for the end of the reply and returns the screen.
func (s *scene) end(ctx context.Context) view {
	err := s.await(ctx, 60*time.Second, func() bool { return s.view.ended != "" })
	if err != nil && !errors.Is(err, io.EOF) {
		s.o.say("kill %d: %v", s.no+1, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

func (s *scene) close() {
	s.dies.kill()
	if s.ws != nil {
		s.ws.close()
	}
	s.wg.Wait()
}
