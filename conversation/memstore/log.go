package memstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/fluentpro/fluentpro/conversation"
)

// Registry numbers incarnations; the authority is behind it.
type Registry interface {
	Incarnation(ctx context.Context, identity string) (int64, error)
}

// LogOptions tune a Log; zero values mean the defaults in brackets.
type LogOptions struct {
	// Hook decides the fate of every command.
	Hook Hook
	// MaxEntries bounds a log [4000], MaxTurns the turns it keeps [400].
	MaxEntries int64
	MaxTurns   int
	Broken     *Broken
}

// Log implements conversation.Log for one node: which Server answers it is
// changed with Connect, as a failover changes it for a real client.
type Log struct {
	reg  Registry
	opts LogOptions

	mu     sync.Mutex // guards what follows
	server *Server
	known  map[string]int64
	now    *incarnation // nil when it has to be asked
	bell   *Bell
}

type incarnation struct {
	identity string
	inc      int64
}

// NewLog returns a Log on server; reg numbers the incarnations.
func NewLog(server *Server, reg Registry, opts LogOptions) *Log {
	if opts.MaxEntries <= 0 {
		opts.MaxEntries = 4000
	}
	if opts.MaxTurns <= 0 {
		opts.MaxTurns = 400
	}
	if opts.Broken == nil {
		opts.Broken = &Broken{}
	}
	return &Log{reg: reg, opts: opts, server: server, known: map[string]int64{}}
}

// Connect leads every command that has not reached a server yet to server,
// those built for the old one included.
func (l *Log) Connect(server *Server) {
	l.mu.Lock()
	was, bell := l.server, l.bell
	l.server = server
	if l.opts.Broken.NoIdentity {
		l.now = nil // all that is left is to ask when connecting
	}
	l.mu.Unlock()
	if bell != nil {
		was.unring(bell)
		server.ring(bell)
		bell.suspect()
	}
}

// Server is which one answers now.
func (l *Log) Server() *Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server
}

// errIncarnation is the answer of a script that runs in another lifetime.
var errIncarnation = errors.New("another incarnation")

func (l *Log) incarnation(ctx context.Context) (incarnation, error) {
	l.mu.Lock()
	now := l.now
	l.mu.Unlock()
	if now != nil {
		return *now, nil
	}
	identity, err := through(ctx, l.opts.Hook, "log.identity", "", func() (string, error) {
		s := l.Server()
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.identity, nil
	})
	if err != nil {
		return incarnation{}, err
	}
	l.mu.Lock()
	n, ok := l.known[identity]
	l.mu.Unlock()
	if !ok {
		if n, err = l.reg.Incarnation(ctx, identity); err != nil {
			return incarnation{}, fmt.Errorf("register incarnation: %w", err)
		}
	}
	i := incarnation{identity, n}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[identity] = n
	l.now = &i
	return i, nil
}

func (l *Log) forget(old incarnation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != nil && *l.now == old {
		l.now = nil
	}
}

// run executes one script in the right incarnation; the key is built before
// the server that will answer is known.
func run[T any](ctx context.Context, l *Log, op string, id conversation.ID, fn func(s *Server, k bookKey) (T, []conversation.Event, error)) (T, error) {
	var none T
	for range 3 {
		in, err := l.incarnation(ctx)
		if err != nil {
			return none, down(err)
		}
		k := bookKey{in.inc, id}
		if l.opts.Broken.NoIncarnation {
			k.inc = 0
		}
		out, err := through(ctx, l.opts.Hook, op, id, func() (answer[T], error) {
			s := l.Server()
			s.mu.Lock()
			if s.identity != in.identity && !l.opts.Broken.NoIdentity {
				s.mu.Unlock()
				return answer[T]{err: errIncarnation}, nil
			}
			v, added, err := fn(s, k)
			var ep conversation.Epoch
			if b := s.book(k); b.meta != nil {
				ep = b.meta.epoch
			}
			s.mu.Unlock()
			s.publish(id, ep, added)
			return answer[T]{v, err}, nil
		})
		if err != nil {
			return none, down(err)
		}
		if !errors.Is(out.err, errIncarnation) {
			return out.v, out.err
		}
		l.forget(in)
	}
	return none, fmt.Errorf("%w: its incarnation keeps changing", conversation.ErrLogDown)
}

// answer tells what a script said from whether it could be asked.
type answer[T any] struct {
	v   T
	err error
}

func down(err error) error { return fmt.Errorf("%w: %w", conversation.ErrLogDown, err) }

// Active implements conversation.Log.
func (l *Log) Active(ctx context.Context, id conversation.ID) (conversation.Active, error) {
	return run(ctx, l, "log.active", id, func(s *Server, k bookKey) (conversation.Active, []conversation.Event, error) {
		a, err := s.active(s.book(k))
		return a, nil, err
	})
}

// Read implements conversation.Log.
func (l *Log) Read(ctx context.Context, id conversation.ID, ep conversation.Epoch, after int64, max int) (conversation.Page, error) {
	return run(ctx, l, "log.read", id, func(s *Server, k bookKey) (conversation.Page, []conversation.Event, error) {
		p, err := s.read(s.book(k), ep, after, max)
		return p, nil, err
	})
}

// Behind implements conversation.Log.
func (l *Log) Behind(ctx context.Context, at map[conversation.ID]conversation.Cursor) ([]conversation.ID, error) {
	var out []conversation.ID
	for _, id := range slices.Sorted(maps.Keys(at)) {
		behind, err := run(ctx, l, "log.head", id, func(s *Server, k bookKey) (bool, []conversation.Event, error) {
			m := s.book(k).meta
			return m == nil || m.epoch != at[id].Epoch || m.top != at[id].Seq, nil, nil
		})
		if err != nil {
			return nil, err
		}
		if behind {
			out = append(out, id)
		}
	}
	return out, nil
}

// Writable implements conversation.Log.
func (l *Log) Writable(ctx context.Context, id conversation.ID) error {
	_, err := run(ctx, l, "log.writable", id, func(*Server, bookKey) (struct{}, []conversation.Event, error) {
		return struct{}{}, nil, nil
	})
	return err
}

// Try implements conversation.Prober.
func (l *Log) Try(ctx context.Context) error {
	_, err := run(ctx, l, "log.try", "", func(*Server, bookKey) (struct{}, []conversation.Event, error) {
		return struct{}{}, nil, nil
	})
	return err
}

// Create implements conversation.Log.
func (l *Log) Create(ctx context.Context, id conversation.ID, counter int64, seed conversation.Seed) (conversation.Epoch, error) {
	if n := len(seed.Turns) - l.opts.MaxTurns; n > 0 {
		seed.Turns = seed.Turns[n:]
	}
	return run(ctx, l, "log.create", id, func(s *Server, k bookKey) (conversation.Epoch, []conversation.Event, error) {
		ep, err := s.create(k, counter, seed)
		return ep, nil, err
	})
}

// Begin implements conversation.Log.
func (l *Log) Begin(ctx context.Context, id conversation.ID, ep conversation.Epoch, b conversation.Begin) (conversation.Began, error) {
	return run(ctx, l, "log.begin", id, func(s *Server, k bookKey) (conversation.Began, []conversation.Event, error) {
		return s.begin(s.book(k), ep, b)
	})
}

// Append implements conversation.Log.
func (l *Log) Append(ctx context.Context, id conversation.ID, ep conversation.Epoch, a conversation.Append) (int64, int64, error) {
	st, err := run(ctx, l, "log.append", id, func(s *Server, k bookKey) (stamp, []conversation.Event, error) {
		return s.append(s.book(k), ep, a, l.opts.MaxEntries)
	})
	return st.seq, st.ts, err
}

// PutFact implements conversation.Log; seq is 0 when the log had the fact.
func (l *Log) PutFact(ctx context.Context, id conversation.ID, ep conversation.Epoch, f conversation.Fact) (int64, int64, error) {
	st, err := run(ctx, l, "log.fact", id, func(s *Server, k bookKey) (stamp, []conversation.Event, error) {
		return s.fact(s.book(k), ep, f, l.opts.MaxEntries, l.opts.MaxTurns)
	})
	return st.seq, st.ts, err
}

// Stop implements conversation.Log.
func (l *Log) Stop(ctx context.Context, id conversation.ID, ep conversation.Epoch, no int64) (conversation.Began, error) {
	return run(ctx, l, "log.stop", id, func(s *Server, k bookKey) (conversation.Began, []conversation.Event, error) {
		return s.stop(s.book(k), ep, no)
	})
}
