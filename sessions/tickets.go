package sessions

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// ticketBytes of randomness are behind a ticket.
const ticketBytes = 32

var errTicket = fault.New(fault.Unauthenticated, "This ticket is unknown, used or too old; get a new one.")

// IssueTicket makes a ticket that opens one WebSocket for the learner of id,
// within Times.Ticket. The connection lives as long as id would; with a
// conversation it may name no other. A ticket is a secret: it belongs into a
// frame or a subprotocol, never into a URL or a log.
func (m *Manager) IssueTicket(ctx context.Context, id Identity, only conversation.ID) (ticket string, life time.Duration, err error) {
	if m.cfg.Store == nil {
		return "", 0, fault.New(fault.StorageUnavailable, "Tickets cannot be kept here.")
	}
	b := make([]byte, ticketBytes)
	_, _ = rand.Read(b) // never fails
	ticket = base64.RawURLEncoding.EncodeToString(b)
	t := Ticket{User: id.learner(), Family: id.Family, Conversation: only}
	if !id.ExpiresAt.IsZero() {
		t.Expires = id.ExpiresAt.UnixMilli()
	}
	if err := m.cfg.Store.PutTicket(ctx, HashID(ticket), t, m.tim.Ticket); err != nil {
		return "", 0, fault.Wrap(err, fault.StorageUnavailable, "No ticket can be made right now; use a token.")
	}
	return ticket, m.tim.Ticket, nil
}

// validTicket reports the form of our own tickets.
func validTicket(s string) bool {
	return len(s) == base64.RawURLEncoding.EncodedLen(ticketBytes) && validChars(s, "_-")
}

// redeem spends a ticket.
func (m *Manager) redeem(ctx context.Context, ticket string) (Identity, error) {
	if !validTicket(ticket) || m.cfg.Store == nil {
		return Identity{}, errTicket
	}
	t, ok, err := m.cfg.Store.TakeTicket(ctx, HashID(ticket))
	if err != nil {
		return Identity{}, fault.Wrap(err, fault.StorageUnavailable, "The ticket cannot be checked right now.")
	}
	id := Identity{LearnerID: string(t.User), Family: t.Family, Conversation: t.Conversation}
	if t.Expires != 0 {
		id.ExpiresAt = time.UnixMilli(t.Expires)
	}
	if !ok || id.LearnerID == "" || m.cfg.Logins != nil && id.Family != "" && m.cfg.Logins.Ended(id.Family) {
		return Identity{}, errTicket
	}
	if !id.ExpiresAt.IsZero() && !time.Now().Before(id.ExpiresAt) {
		return Identity{}, errExpired
	}
	return id, nil
}

// may reports whether the identity may name a conversation at all; who owns
// it is another question.
func (id Identity) may(c conversation.ID) error {
	if id.Conversation != "" && id.Conversation != c {
		return fault.New(fault.Forbidden, "This connection's ticket is for another conversation.")
	}
	return nil
}
