package sessions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// Session is one device's visit.
type Session struct {
	// ID is the client's secret; a Store keeps only its hash (HashID).
	ID     string
	User   conversation.LearnerID
	Client string
	// Node and Holder are the node and the connection that have the session,
	// or had it last. Only the Holder may change it: a connection that died
	// without knowing it must not write over what its successor wrote.
	Node    string
	Holder  string
	Created time.Time
	// LastSeen is when a Store last created, took, updated or extended the
	// session; the Store sets it. Its end is the Store's term later.
	LastSeen time.Time
	// Subs are the watched conversations with the last cursor that the client
	// is known to have, "" when it is not known.
	Subs map[conversation.ID]string
}

// HashID is the form of a session's id or of a ticket that may be stored and
// shown.
func HashID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// shortHash is how many characters of HashID name a session for people.
const shortHash = 8

// Viewer is one attachment of a connection to a conversation, as the inspector
// shows it.
type Viewer struct {
	Conversation conversation.ID        `json:"conversation"`
	Conn         string                 `json:"conn"`
	Node         string                 `json:"node"`
	Session      string                 `json:"session,omitempty"`
	User         conversation.LearnerID `json:"user"`
	// Transport is ws, sse or poll.
	Transport string `json:"transport"`
	// Cursor was delivered, Acked was confirmed by the client.
	Cursor string `json:"cursor"`
	Acked  string `json:"acked,omitempty"`
	// Lag counts events between the newest one and Cursor.
	Lag int64 `json:"lag"`
	// Since and At (last change) are milliseconds since 1970.
	Since int64 `json:"since"`
	At    int64 `json:"at"`
}

// CompareViewers orders viewers by age, then by connection.
func CompareViewers(a, b Viewer) int {
	return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Conn, b.Conn))
}

// Connection is one open connection, as all nodes count and show it.
type Connection struct {
	ID   string                 `json:"connection"`
	Node string                 `json:"node"`
	User conversation.LearnerID `json:"learner"`
	// Session is the HashID of its session, "" where the transport has none.
	Session   string `json:"session,omitempty"`
	Transport string `json:"transport"`
	// Client is what hello called itself.
	Client string `json:"client,omitempty"`
	// Since is milliseconds since 1970.
	Since int64 `json:"since"`
}

// CompareConnections orders connections by age, then by id.
func CompareConnections(a, b Connection) int {
	return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.ID, b.ID))
}

// Outcome is what became of a change to a session.
type Outcome int

// The outcomes.
const (
	// Gone: there is no such session of this user, or not any more.
	Gone Outcome = iota
	// Done: it was changed and its end pushed out.
	Done
	// Taken: another connection holds it by now; nothing was changed.
	Taken
)

// Visits keeps the sessions. A session has one term: it ends when nothing was
// written for so long, and a list shows exactly those that have not ended.
type Visits interface {
	// Create stores a session, in the place of one with the same id. A user has
	// a bounded number of them: the one that would end first makes room.
	Create(ctx context.Context, s Session) error
	// Get finds a session of user and changes nothing; somebody else's is as
	// unknown as none.
	Get(ctx context.Context, id string, user conversation.LearnerID) (Session, bool, error)
	// Take finds it as Get does, makes holder its Holder and pushes its end out,
	// in one step.
	Take(ctx context.Context, id string, user conversation.LearnerID, holder string) (Session, bool, error)
	// Update replaces Client, Node and Subs and pushes the end out; Extend does
	// only the latter. Both are for s.Holder alone.
	Update(ctx context.Context, s Session) (Outcome, error)
	Extend(ctx context.Context, s Session) (Outcome, error)
	// Delete forgets a session of user.
	Delete(ctx context.Context, id string, user conversation.LearnerID) error
	// List returns the live sessions of a user, last seen first, with HashID in
	// the place of ID.
	List(ctx context.Context, user conversation.LearnerID) ([]Session, error)
}

// Presence keeps who is connected and who watches what. An entry counts while
// its node has a lease, so those of a node that died are gone within seconds.
type Presence interface {
	// Beat gives node its lease or renews it. fresh says that there was none:
	// the node is new, was too late, or the Store lost everything. Then what it
	// had entered may be missing and is to be entered again.
	Beat(ctx context.Context, node string) (fresh bool, err error)
	// Leave ends the lease of a node, and with it all of its entries.
	Leave(ctx context.Context, node string) error
	// Enter counts a connection of c.User unless the user has most of them on
	// all nodes; a connection of the same session does not count, for that is
	// the one which c replaces.
	Enter(ctx context.Context, c Connection, most int) (bool, error)
	// PutConnections enters or changes connections without counting.
	PutConnections(ctx context.Context, cs []Connection) error
	// Exit forgets connections.
	Exit(ctx context.Context, cs []Connection) error
	// Connections are those of a user on all nodes, oldest first.
	Connections(ctx context.Context, user conversation.LearnerID) ([]Connection, error)
	// PutViewers records attachments, DropViewers forgets them.
	PutViewers(ctx context.Context, vs []Viewer) error
	DropViewers(ctx context.Context, vs []Viewer) error
	// ListViewers returns the attachments to a conversation on all nodes.
	ListViewers(ctx context.Context, id conversation.ID) ([]Viewer, error)
}

// Ticket is what stands behind a connection ticket.
type Ticket struct {
	User   conversation.LearnerID `json:"user"`
	Family string                 `json:"family,omitempty"`
	// Expires ends the connection, milliseconds since 1970, 0 for never.
	Expires int64 `json:"expires,omitempty"`
	// Conversation is the only one that the connection may name, "" for any.
	Conversation conversation.ID `json:"conversation,omitempty"`
}

// Tickets keeps connection tickets by the HashID of their text.
type Tickets interface {
	// PutTicket stores a ticket for so long.
	PutTicket(ctx context.Context, hash string, t Ticket, life time.Duration) error
	// TakeTicket finds a ticket and forgets it in one step: of any number of
	// takers one has it.
	TakeTicket(ctx context.Context, hash string) (Ticket, bool, error)
}

// Store keeps sessions, presence and tickets where all nodes can see them. A
// failure never breaks a connection. Calls have short deadlines of their own.
type Store interface {
	Visits
	Presence
	Tickets
}
