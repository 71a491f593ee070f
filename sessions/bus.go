package sessions

import (
	"context"
	"encoding/json"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Order is what one node asks of every node, itself included.
type Order struct {
	// From gave the order and has carried it out itself.
	From string                 `json:"from"`
	User conversation.LearnerID `json:"user"`
	// Family, Session (a HashID) and Conn narrow whom it is for; "" is any.
	Family  string `json:"family,omitempty"`
	Session string `json:"session,omitempty"`
	Conn    string `json:"conn,omitempty"`
	// End closes the connections for this reason.
	End fault.Code `json:"end,omitempty"`
	// Notice is sent to them.
	Notice *Notice `json:"notice,omitempty"`
}

// Notice is a message to a learner's devices that belongs to no conversation
// and is not kept: who is not connected never sees it.
type Notice struct {
	// Code is for programs, stable, 1 to 64 of a-z 0-9 and underscore.
	Code string `json:"code"`
	// Message is for people.
	Message string `json:"message,omitempty"`
	// Data is any JSON value, or nil.
	Data json.RawMessage `json:"data,omitempty"`
}

// Bus carries orders to the other nodes. It may lose any of them.
type Bus interface {
	Publish(ctx context.Context, o Order) error
	// Listen hands what others published to fn, in one goroutine, until ctx
	// ends. It may hand back what this node published.
	Listen(ctx context.Context, fn func(Order))
}

// Logins knows which logins have ended, from memory: it is asked about each
// connection every Times.LoginCheck, and when a ticket is used. So a connection
// that slipped in while its login was being ended does not stay.
type Logins interface {
	Ended(family string) bool
}
