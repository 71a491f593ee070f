package sessions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
)

// source is a scripted streaming.Source: logs in memory.
type source struct {
	mu   sync.Mutex
	logs map[conversation.ID]*talk
	// down makes Attach and Pull fail as a lost store does.
	down bool
}

// talk is one conversation's log and its fold.
type talk struct {
	src   *source
	id    conversation.ID
	owner conversation.LearnerID
	epoch conversation.Epoch
	// From here on guarded by src.mu. low is the oldest seq that is served.
	events  []conversation.Event
	low     int64
	state   conversation.State
	feeds   map[*feed]bool
	attachs []string
}

func (s *source) talk(owner string) *talk {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &talk{src: s, id: conversation.NewID(), owner: conversation.LearnerID(owner), epoch: conversation.Epoch{Counter: 1, Nonce: "abc"}, feeds: map[*feed]bool{}}
	t.state.Header = conversation.Header{ID: t.id, Kind: conversation.KindChat, Title: "t", State: "active"}
	s.logs[t.id] = t
	t.add(conversation.Event{Type: "conversation.created", Data: json.RawMessage(`{"kind":"chat","title":"t"}`)})
	return t
}

// add needs src.mu; it returns the feeds to wake.
func (t *talk) add(e conversation.Event) {
	e.Seq, e.TS = int64(len(t.events)+1), 1
	t.events = append(t.events, e)
}

func (t *talk) append(es ...conversation.Event) {
	t.change(func() []conversation.Event { return es })
}

// change changes the state and the log in one step, as the scripts do.
func (t *talk) change(fn func() []conversation.Event) {
	t.src.mu.Lock()
	for _, e := range fn() {
		t.add(e)
	}
	var wake []func()
	for f := range t.feeds {
		if f.wake != nil {
			wake = append(wake, f.wake)
		}
	}
	t.src.mu.Unlock()
	for _, w := range wake {
		w()
	}
}

// begin starts run 1.
func (t *talk) begin() {
	turn := conversation.Turn{N: 1, ID: "m1", Author: conversation.Learner, Text: "hi", ClientID: "k", Run: 1, At: 1}
	raw, _ := json.Marshal(turn)
	t.src.mu.Lock()
	t.state.Turns = append(t.state.Turns, turn)
	t.state.Open = &conversation.OpenReply{Run: 1, MessageID: "m2", Attempt: 1, Base: 1}
	t.src.mu.Unlock()
	t.append(conversation.Event{Type: "message.accepted", Data: raw},
		conversation.Event{Type: "partner.started", Run: 1, Attempt: 1, Base: 1, Data: json.RawMessage(`{"message_id":"m2","parent":1}`)})
}

func (t *talk) delta(text string) {
	t.change(func() []conversation.Event {
		at := conversation.UTF16Len(t.state.Open.Text)
		t.state.Open.Text += text
		return []conversation.Event{{Type: "partner.delta", Run: 1, Attempt: 1, Base: 1, At: at, Len: conversation.UTF16Len(text), Text: text}}
	})
}

// finish completes run 1 and, if end is set, the conversation.
func (t *talk) finish(end bool) {
	t.change(func() []conversation.Event {
		text := t.state.Open.Text
		t.state.Open = nil
		t.state.Turns = append(t.state.Turns, conversation.Turn{N: 2, ID: "m2", Author: conversation.Partner, Text: text, Run: 1, Finish: "stop"})
		raw, _ := json.Marshal(map[string]any{"message_id": "m2", "text": text, "finish": "stop", "n": 2})
		es := []conversation.Event{{Type: "partner.completed", Run: 1, Attempt: 1, Base: 1, Data: raw}}
		if end {
			t.state.Header.State = "ended"
			es = append(es, conversation.Event{Type: "conversation.ended", Data: json.RawMessage(`{"reason":"done"}`)})
		}
		return es
	})
}

func (t *talk) cursor(seq int64) string {
	return conversation.Cursor{Epoch: t.epoch, Seq: seq}.String()
}

func (t *talk) top() int64 {
	t.src.mu.Lock()
	defer t.src.mu.Unlock()
	return int64(len(t.events))
}

func (t *talk) watchers() int {
	t.src.mu.Lock()
	defer t.src.mu.Unlock()
	return len(t.feeds)
}

// cursors lists what was asked for at each attach.
func (t *talk) cursors() []string {
	t.src.mu.Lock()
	defer t.src.mu.Unlock()
	return append([]string(nil), t.attachs...)
}

// feed implements streaming.Feed.
type feed struct {
	t        *talk
	open     streaming.Opening
	pos      int64
	snapshot bool
	caught   bool
	wake     func()
}

func (s *source) Attach(_ context.Context, id conversation.ID, who conversation.LearnerID, cursor string) (streaming.Feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, fmt.Errorf("connection refused by 10.0.0.7")
	}
	t := s.logs[id]
	if t == nil || t.owner != who {
		return nil, conversation.ErrNotFound
	}
	t.attachs = append(t.attachs, cursor)
	f := &feed{t: t}
	cur, ok := conversation.ParseCursor(cursor)
	switch {
	case cursor == "":
		f.snapshot, f.open.Reason = true, "no_cursor"
	case !ok:
		f.snapshot, f.open.Reason = true, "bad_cursor"
	case cur.Epoch != t.epoch:
		f.snapshot, f.open.Reason = true, "epoch_changed"
	case cur.Seq < t.low:
		f.snapshot, f.open.Reason = true, "trimmed"
	case cur.Seq > int64(len(t.events)):
		f.snapshot, f.open.Reason = true, "ahead"
	default:
		f.pos = cur.Seq
	}
	f.open.Mode, f.open.Cursor = "replay", cursor
	if f.snapshot {
		f.open.Mode, f.open.Cursor = "snapshot", t.cursor(int64(len(t.events)))
	}
	t.feeds[f] = true
	return f, nil
}

func (f *feed) Opening() streaming.Opening { return f.open }

func (f *feed) Notify(wake func()) {
	f.t.src.mu.Lock()
	f.wake = wake
	f.t.src.mu.Unlock()
	wake()
}

func (f *feed) Pull(_ context.Context, limit, maxBytes int) (streaming.Batch, error) {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	t := f.t
	var b streaming.Batch
	if t.src.down {
		return b, fault.New(fault.StorageUnavailable, "down")
	}
	if f.snapshot {
		f.snapshot, f.pos = false, int64(len(t.events))
		raw, err := t.state.AppendStateJSON(nil)
		if err != nil {
			return b, err
		}
		if f.open.Reason != "no_cursor" {
			b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemReset, Reason: f.open.Reason, Cursor: t.cursor(f.pos)})
		}
		b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemSnapshot, JSON: raw, Cursor: t.cursor(f.pos)})
	}
	size := 0
	for f.pos < int64(len(t.events)) && len(b.Items) < limit && (size == 0 || size < maxBytes) {
		e := t.events[f.pos]
		for f.pos++; f.pos < int64(len(t.events)) && e.Merge(&t.events[f.pos], 8<<10); f.pos++ {
		}
		js := e.AppendJSON(nil, t.epoch)
		size += len(js)
		b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemEvent, JSON: js, Cursor: t.cursor(e.Seq)})
	}
	b.More = f.pos < int64(len(t.events))
	if !b.More && !f.caught {
		f.caught = true
		b.Items = append(b.Items, streaming.Item{Kind: streaming.ItemCaughtUp, Cursor: t.cursor(f.pos)})
	}
	b.Ended = !b.More && t.state.Header.State == "ended"
	return b, nil
}

func (f *feed) Cursor() string {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	return f.t.cursor(f.pos)
}

func (f *feed) Lag() int64 {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	return int64(len(f.t.events)) - f.pos
}

func (f *feed) Close() {
	f.t.src.mu.Lock()
	defer f.t.src.mu.Unlock()
	if !f.t.feeds[f] {
		panic("feed closed twice")
	}
	delete(f.t.feeds, f)
}
