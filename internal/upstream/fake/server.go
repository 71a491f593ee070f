package fake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options set the pace of a server.
type Options struct {
	// FirstTokenDelay is waited before the first token.
	FirstTokenDelay time.Duration
	// TokenDelay is the time from one token to the next; 0 sends at once.
	TokenDelay time.Duration
	// DefaultModel answers requests whose model is unknown; "scripted" if empty.
	DefaultModel string
	// KeepCalls is how many finished calls Calls remembers; 4096 if 0.
	KeepCalls int
}

// Handler is the server as an http.Handler.
type Handler struct {
	o   Options
	mux *http.ServeMux
	log callLog

	mu   sync.Mutex
	once map[string]bool // faults of "-once" models that have happened
}

// New makes a Handler.
func New(o Options) *Handler {
	if o.DefaultModel == "" {
		o.DefaultModel = "scripted"
	}
	if o.KeepCalls <= 0 {
		o.KeepCalls = 4096
	}
	h := &Handler{o: o, mux: http.NewServeMux(), once: map[string]bool{}}
	h.log.keep = o.KeepCalls
	h.mux.HandleFunc("POST /v1/chat/completions", h.chat)
	h.mux.HandleFunc("GET /v1/models", h.models)
	h.mux.HandleFunc("POST /v1/embeddings", h.embeddings)
	h.mux.HandleFunc("POST /v1/moderations", h.moderations)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, "invalid_request_error", "unknown_url", "", "Unknown request URL: "+r.Method+" "+r.URL.Path)
	})
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Fluentpro-Scripted", "1")
	h.mux.ServeHTTP(w, r)
}

// Calls returns the calls under way and those finished, oldest first.
func (h *Handler) Calls() []Call { return h.log.all() }

// Server is a Handler listening on a loopback port of this process.
type Server struct {
	*Handler
	// URL is the base URL for a client, with /v1.
	URL string

	srv  *http.Server
	done chan struct{}
	err  error
}

// Listen starts a server on a free port of 127.0.0.1.
func Listen(o Options) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the scripted model: %w", err)
	}
	s := &Server{Handler: New(o), URL: "http://" + l.Addr().String() + "/v1", done: make(chan struct{})}
	// Requests end with the server, not only with their clients.
	base, cancel := context.WithCancel(context.Background())
	s.srv = &http.Server{
		Handler: s.Handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	s.srv.RegisterOnShutdown(cancel)
	go func() {
		defer close(s.done)
		defer cancel()
		if err := s.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	}()
	return s, nil
}

// Close ends every call and waits until all are gone, at most 5 s.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.srv.Close())
	}
	<-s.done
	return errors.Join(err, s.err)
}
