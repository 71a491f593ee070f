package memstore

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// Server is one Redis process: what is in it, and who listens to its bell.
// Its methods are the scripts; each is one atomic step.
type Server struct {
	broken *Broken

	mu        sync.Mutex // guards what follows
	identity  string
	books     map[bookKey]*book
	locks     map[conversation.ID]lockEntry
	bells     []*Bell
	lastNonce int64
}

type bookKey struct {
	inc int64
	id  conversation.ID
}

// book is the five keys of one conversation's log.
type book struct {
	meta   *meta
	log    []conversation.Event
	text   string
	turns  []conversation.Turn
	header *conversation.Header
}

// meta is the hash of the log's state; the names are those of redislog.
type meta struct {
	epoch                conversation.Epoch
	fence, top, low, fn  int64
	run, att, base       int64
	len                  int64 // of the open text in UTF-16 units
	bytes                int   // the same in bytes
	open                 bool
	stop                 int64 // -1 without a stop mark
	mid, purpose         string
	result, failure, end json.RawMessage
	head                 conversation.Head
	appended             bool
	asSeq, asTS          int64 // answer of the newest append
	over                 int64 // highest fence of an ended run, 0 for none
	turns                int
	wait                 int64 // run that must begin or end before the log counts
}

// NewServer returns an empty Redis whose lifetime is told by identity.
func NewServer(identity string, broken *Broken) *Server {
	if broken == nil {
		broken = &Broken{}
	}
	return &Server{broken: broken, identity: identity, books: map[bookKey]*book{}, locks: map[conversation.ID]lockEntry{}}
}

// Copy is what a replica or a dump has at this moment; it answers under
// another identity, as a promoted replica and a restarted process do.
func (s *Server) Copy(identity string) *Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := NewServer(identity, s.broken)
	c.lastNonce = s.lastNonce
	for k, b := range s.books {
		c.books[k] = b.clone()
	}
	for id, l := range s.locks {
		c.locks[id] = l
	}
	return c
}

func (b *book) clone() *book {
	c := *b
	c.log, c.turns = slices.Clone(b.log), slices.Clone(b.turns)
	if b.meta != nil {
		m := *b.meta
		c.meta = &m
	}
	return &c
}

// Flush forgets everything; the process, and so the identity, stays.
func (s *Server) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.books)
	clear(s.locks)
}

// Drop deletes one kind of key of a conversation in every incarnation: m, l,
// p, t or h, as redislog names them.
func (s *Server) Drop(id conversation.ID, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, b := range s.books {
		if k.id != id {
			continue
		}
		switch kind {
		case "m":
			b.meta = nil
		case "l":
			b.log = nil
		case "p":
			b.text = ""
		case "t":
			b.turns = nil
		case "h":
			b.header = nil
		}
	}
}

// book returns a conversation's keys, empty ones where there are none.
func (s *Server) book(k bookKey) *book {
	if b := s.books[k]; b != nil {
		return b
	}
	return &book{}
}

// whole reports that neither header nor a turn has vanished alone.
func (b *book) whole() bool { return b.header != nil && len(b.turns) == b.meta.turns }

// check is what each script with an epoch begins with.
func (b *book) check(ep conversation.Epoch) error {
	switch {
	case b.meta == nil:
		return conversation.ErrLogMissing
	case b.meta.epoch != ep:
		return conversation.ErrLogEpoch
	}
	return nil
}

// add writes one entry; the caller rings the bell with what it returns.
func (b *book) add(ev conversation.Event) conversation.Event {
	b.meta.top++
	ev.Seq, ev.TS = b.meta.top, time.Now().UnixMilli()
	b.log = append(b.log, ev)
	return ev
}

// trim cuts the front in steps, as redislog does.
func (b *book) trim(limit int64) {
	if b.meta.top-b.meta.low >= limit+limit/8 {
		b.log = slices.Clone(b.log[max(0, len(b.log)-int(limit)):])
		b.meta.low = b.meta.top - limit + 1
	}
}

func (s *Server) nonce(counter int64) string {
	if s.broken.NoNonce {
		return "n" + strconv.FormatInt(counter, 10)
	}
	// Two creations never share a microsecond of a real Redis.
	s.lastNonce = max(s.lastNonce+1, time.Now().UnixMicro())
	return strconv.FormatInt(s.lastNonce, 36)
}

// Unlock lets a lock's term end early, as a jump of the server's clock does.
func (s *Server) Unlock(id conversation.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locks, id)
}
