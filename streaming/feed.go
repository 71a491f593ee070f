// Package streaming is how facts travel from a conversation's log to a
// viewer. A Hub keeps one Room per watched conversation, fed by the bell (the
// append script publishes each event with its number) and, on any gap, by the
// log itself. A Feed is one viewer's cursor in a room: it is pulled, never
// pushed, so a slow viewer needs no queue; the log is its queue.
//
// The adapters (streaming/ws, streaming/sse) and sessions know only this file.
package streaming

import (
	"context"

	"github.com/fluentpro/fluentpro/conversation"
)

// ItemKind says what an Item carries.
type ItemKind int

// The kinds of items, in the order a viewer may meet them.
const (
	// ItemReset: the cursor cannot be served; Reason says why, Cursor where the
	// snapshot that follows stands.
	ItemReset ItemKind = iota + 1
	// ItemSnapshot: JSON is the folded state at Cursor.
	ItemSnapshot
	// ItemEvent: JSON is one envelope of docs/protocol.md.
	ItemEvent
	// ItemCaughtUp: everything there was at attach has been delivered.
	ItemCaughtUp
	// ItemError: passing trouble; Reason is a fault code (storage_unavailable).
	ItemError
)

// Item is one thing for a viewer. JSON is shared between viewers: read only.
type Item struct {
	Kind   ItemKind
	JSON   []byte
	Cursor string
	Reason string
}

// Batch is what one Pull returned.
type Batch struct {
	Items []Item
	// More says that another Pull has something at once.
	More bool
	// Ended says that the conversation has ended and all of it was delivered.
	Ended bool
}

// Opening says how an attach will begin; it is known before the first Pull.
type Opening struct {
	// Mode is "replay" (the cursor is served) or "snapshot".
	Mode string
	// Cursor is where delivery begins: the viewer's own for replay.
	Cursor string
	// Reason is why a snapshot is needed, "" for replay.
	Reason string
}

// Feed is one viewer of one conversation. Pull and Close are for one
// goroutine at a time; Notify's function may be called from any.
type Feed interface {
	// Opening tells how the feed begins.
	Opening() Opening
	// Notify sets the function that is called, never blocking and possibly
	// spuriously, whenever Pull may have something; it is called once at once.
	Notify(wake func())
	// Pull returns what is ready, up to max events or maxBytes of JSON (at
	// least one item if there is any), deltas of one run merged. It never
	// waits for new events; it may read the log or a snapshot.
	Pull(ctx context.Context, max, maxBytes int) (Batch, error)
	// Cursor is the position of the last delivered item.
	Cursor() string
	// Lag is how many events the feed is behind the newest known one.
	Lag() int64
	// Close detaches the feed.
	Close()
}

// Source attaches viewers; Hub implements it.
type Source interface {
	// Attach subscribes first, then reads, then judges the cursor ("" or
	// garbage means: begin with a snapshot). A foreign or unknown conversation
	// is conversation.ErrNotFound.
	Attach(ctx context.Context, id conversation.ID, viewer conversation.LearnerID, cursor string) (Feed, error)
}
