package chaos

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// standIn is the model: its text is a function of the request, its record of
// calls goes into the history.
type standIn struct {
	*fake.Handler
	url         string
	srv         *http.Server
	done        chan struct{}
	first, pace atomic.Int64 // nanoseconds before the first token and between tokens
}

func newStandIn() (*standIn, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &standIn{Handler: fake.New(fake.Options{KeepCalls: 1 << 18}), url: "http://" + l.Addr().String() + "/v1", done: make(chan struct{})}
	base, cancel := context.WithCancel(context.Background())
	s.srv = &http.Server{ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return base },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-Fake-First-Delay", time.Duration(s.first.Load()).String())
			r.Header.Set("X-Fake-Token-Delay", time.Duration(s.pace.Load()).String())
			s.ServeHTTP(w, r)
		})}
	go func() { // ends with close
		defer close(s.done)
		defer cancel()
		_ = s.srv.Serve(l)
	}()
	s.srv.RegisterOnShutdown(cancel)
	return s, nil
}

func (s *standIn) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s.srv.Shutdown(ctx) != nil {
		_ = s.srv.Close()
	}
	<-s.done
}

// speak sets the pace of later calls.
func (s *standIn) speak(first, pace time.Duration) {
	s.first.Store(int64(first))
	s.pace.Store(int64(pace))
}

// write puts every call into the history.
func (s *standIn) write(rec *history.Recorder) {
	begun := rec.Begun()
	for _, c := range s.Calls() {
		ended := c.Ended.Sub(begun)
		if c.End == fake.EndOpen {
			ended = time.Since(begun)
		}
		rec.Add(history.Record{K: history.Up, P: "model", CID: c.Tag, ID: int64(c.No), Kept: int64(c.Kept), Continued: c.Continued,
			Sent: int64(c.From + c.Sent), T0: c.Started.Sub(begun).Nanoseconds(), Ended: ended.Nanoseconds(), End: c.End, Code: strconv.Itoa(c.Status)})
	}
}
