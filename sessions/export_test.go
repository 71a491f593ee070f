package sessions

import (
	"context"
	"net/http"
)

// DecodeAndAnswer is what a fuzz test reaches: a frame and the err frame that
// a bad one gets.
func DecodeAndAnswer(msg []byte) (id string, answer []byte, err error) {
	f, err := decodeFrame(msg)
	if err != nil {
		e, _ := wireOf(err)
		answer = errFrame(e, f.ID, f.C)
	}
	return f.ID, answer, err
}

// Admitted reports whether a handshake's request alone says who asks.
func Admitted(m *Manager, r *http.Request) bool {
	if m.checkOrigin(r, true) != nil {
		return false
	}
	id, refusal, err := m.identifyWS(r)
	return err == nil && refusal == nil && id.LearnerID != ""
}

// Redeem spends a ticket.
func Redeem(ctx context.Context, m *Manager, ticket string) (Identity, error) {
	return m.redeem(ctx, ticket)
}

// NormalOrigin writes an origin in its one form.
func NormalOrigin(s string) (string, bool) { return normalOrigin(s) }
