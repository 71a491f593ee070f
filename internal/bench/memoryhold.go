package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// talk has messages answered one after the other.
func (s spoken) talk(ctx context.Context, base string, messages int) error {
	var g gauge
	so, err := openSocket(ctx, base, &g, s.l, s.id)
	if err != nil {
		return err
	}
	defer so.close()
	so.says = memorySays
	for range messages {
		if err := so.start(); err != nil {
			return err
		}
		select {
		case err := <-so.ended:
			if err != nil {
				return err
			}
		case <-time.After(2 * time.Minute):
			return errors.New("a reply does not end")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// holders are viewers of replies that stay open.
type holders struct {
	wg sync.WaitGroup

	mu    sync.Mutex // guards what follows
	ws    []*wsClient
	err   error // of the first that ended before close
	ended bool
}

// hold asks for a reply and returns when its viewer has all of its text; the
// viewer stays.
func (h *holders) hold(ctx context.Context, base string, s spoken) error {
	ws, err := dialWS(ctx, base+"/api/v2/ws", s.l.token, 4<<10)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.ws = append(h.ws, ws)
	h.mu.Unlock()
	if err := subscribe(ws, s.id); err != nil {
		return err
	}
	if err := ws.text(`{"t":"cmd","id":"1","op":"send","c":"` + s.id + `","key":"memory-1","args":{"text":"` + memorySays + `"}}`); err != nil {
		return err
	}
	shown := make(chan struct{})
	failed := make(chan error, 1)
	h.wg.Go(func() {
		err := follow(ws, shown)
		failed <- err
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.err == nil && !h.ended {
			h.err = err
		}
	})
	select {
	case <-shown:
		return nil
	case err := <-failed:
		return err
	case <-time.After(5 * time.Minute):
		return errors.New("a text does not come whole")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// follow reads until the connection or the reply ends; shown is closed when the
// text is there but for the last token, which a partner may hold back.
func follow(ws *wsClient, shown chan struct{}) error {
	var v view
	want := len(fake.Checkable("a", memoryLive-1))
	for told := false; ; {
		msg, err := ws.read()
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(msg, pingMark):
			err = ws.text(strings.Replace(string(msg), "ping", "pong", 1))
		case bytes.HasPrefix(msg, []byte(`{"t":"res"`)) && bytes.Contains(msg, []byte(`"ok":false`)):
			err = fmt.Errorf("the server answers %.300s", msg)
		default:
			_, _, err = v.frame(msg)
		}
		if err == nil && v.ended != "" {
			err = fmt.Errorf("a reply that should stay open ended as %s", v.ended)
		}
		if err != nil {
			return err
		}
		if !told && len(v.text) >= want {
			told = true
			close(shown)
		}
	}
}

func (h *holders) failed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *holders) close() {
	h.mu.Lock()
	h.ended = true
	for _, ws := range h.ws {
		ws.close()
	}
	h.mu.Unlock()
	h.wg.Wait()
}
