// Package sessions is who is attached here and now. It joins a connection (a
// WebSocket, an event stream, a long poll) to a feed (what to show) and to a
// commander (what the learner wants), keeps every limit, and is what drains.
//
// A session is one device's realtime visit: it lives in a Store for a quarter
// of an hour after it was last seen and outlives its connections. Nothing in a
// Store is precious: a session that is lost costs a client its stored
// subscriptions, and the cursor that a client sends always wins.
//
// Who runs what: one goroutine per WebSocket reads and handles frames; a
// second one exists only while something is being written; it pulls from the
// feeds, so a slow viewer queues nothing but small control frames. An event
// stream or a long poll runs in its HTTP handler. Up to four goroutines per
// Manager watch the clocks, write to the Store, keep the node's lease and hear
// the other nodes; none of them touches a viewer's path.
package sessions

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/streaming"
)

// Identity is a verified token: who it speaks for and until when.
type Identity struct {
	LearnerID string
	// ExpiresAt ends the connection; zero means that the token does not say.
	ExpiresAt time.Time
	// Family names the login that the token came from, for CloseLearner.
	Family string
	// Conversation is the only one that a connection may name, "" for any; a
	// ticket may say so.
	Conversation conversation.ID
}

// Authenticator verifies access tokens; failures are fault errors.
type Authenticator interface {
	Verify(ctx context.Context, token string) (Identity, error)
}

// Commander carries out what a learner asks for over a WebSocket; failures are
// fault errors, a conversation of somebody else reads as not found.
type Commander interface {
	Send(ctx context.Context, in conversation.SendInput) (conversation.Accepted, error)
	Cancel(ctx context.Context, learner conversation.LearnerID, id conversation.ID, run int64) (conversation.Stopped, error)
}

// Transports as they are counted and shown.
const (
	TransportWS   = "ws"
	TransportSSE  = "sse"
	TransportPoll = "poll"
	// TransportAISDK and TransportAGUI are replies in other protocols.
	TransportAISDK = "aisdk"
	TransportAGUI  = "agui"
)

// Metrics counts what happens; methods are called from many goroutines.
type Metrics interface {
	// Opened and Closed frame the life of a connection; code is a close code of
	// docs/protocol.md, 0 where the transport has none.
	Opened(transport string)
	Closed(transport string, code int)
	// Attached tells how a viewer began: mode replay or snapshot, and why.
	Attached(transport, mode, reason string)
	Delivered(transport string, events, bytes int)
	// Command was answered; code is "" for success.
	Command(op string, code fault.Code, took time.Duration)
}

type noMetrics struct{}

func (noMetrics) Opened(string)                             {}
func (noMetrics) Closed(string, int)                        {}
func (noMetrics) Attached(string, string, string)           {}
func (noMetrics) Delivered(string, int, int)                {}
func (noMetrics) Command(string, fault.Code, time.Duration) {}

// Config is what a Manager needs. Auth, Commands and Source are required.
type Config struct {
	Auth     Authenticator
	Commands Commander
	Source   streaming.Source
	// Runs is needed by ServeReply only.
	Runs Runs
	// Store may be nil: sessions then end with their connections.
	Store Store
	// Bus reaches the other nodes; nil where there are none.
	Bus Bus
	// Logins may be nil: a logout is then known by CloseLearner alone.
	Logins Logins
	// Metrics may be nil.
	Metrics Metrics
	// Log may be nil: nothing is logged then.
	Log *slog.Logger
	// Node names this process in welcome and in attachments.
	Node string
	// Origins are the exact origins that may connect besides the host that was
	// asked for.
	Origins []string
	// Secure tells whether the client's side of a request is https; nil looks
	// at the connection only.
	Secure func(*http.Request) bool
	// CheckOrigin replaces the built-in check if the caller has a stricter one.
	CheckOrigin func(*http.Request) error
	// Problem writes an error answer; nil writes a plain problem document.
	Problem func(w http.ResponseWriter, r *http.Request, err error)
	Limits  Limits
	Times   Times
}

// Limits bound what one connection or user may cost; zero means the number in
// brackets.
type Limits struct {
	// Frame is the longest client frame in bytes [65536].
	Frame int
	// Message is the longest message in characters [8192].
	Message int
	// Subscriptions per connection [32].
	Subscriptions int
	// ConnectionsPerUser over all nodes, long polls on this node only [20].
	ConnectionsPerUser int
	// Connections of this node [20000].
	Connections int
	// Unauthenticated sockets of this node that still owe a hello [1000].
	Unauthenticated int
	// CommandsPerSecond [10] and CommandBurst [20] of a connection.
	CommandsPerSecond float64
	CommandBurst      int
	// FramesPerSecond [100] and FrameBurst [300] of a connection; more ends it.
	FramesPerSecond float64
	FrameBurst      int
	// BadFrames in a row that are answered before the connection ends [20].
	BadFrames int
	// BatchEvents [64] and BatchBytes [16384] bound one ev frame.
	BatchEvents int
	BatchBytes  int
	// ControlQueue is how many control frames may wait for a slow reader [128].
	ControlQueue int
	// LogEvents [1000] and LogBytes [1 MiB] bound one answer of the JSON log.
	LogEvents int
	LogBytes  int
}

// Times are the deadlines and intervals; zero means the time in brackets.
type Times struct {
	// Hello is how long a socket may stay silent at first [10 s].
	Hello time.Duration
	// Ping is the silence after which a ping is sent [20 s], Pong the wait for
	// a sign of life after it [8 s].
	Ping, Pong time.Duration
	// Write bounds one write [10 s], Message the arrival of one frame [10 s].
	Write, Message time.Duration
	// Command bounds one command [15 s], Attach one subscription [5 s].
	Command, Attach time.Duration
	// TokenWarn is how long before a token's end a client is told [60 s].
	TokenWarn time.Duration
	// Heartbeat of an event stream [15 s], StreamLife ± 20 % [10 min], Retry
	// ± 50 % told to its client [1 s].
	Heartbeat, StreamLife, Retry time.Duration
	// LogWait is the longest long poll [25 s].
	LogWait time.Duration
	// DrainSpread is over how long viewers are sent away [10 s], DrainGrace how
	// long each may take to go [3 s].
	DrainSpread, DrainGrace time.Duration
	// Ticket is how long a connection ticket is good [60 s].
	Ticket time.Duration
	// Beat is how often this node renews its lease [2 s], LoginCheck how often
	// it looks whether the logins of its connections still stand [2 s].
	Beat, LoginCheck time.Duration
	// Touch is how often a quiet session's life is extended [60 s], Report how
	// often an active attachment is written at most [5 s], Refresh how often an
	// idle one is, so that it does not lapse [20 min].
	Touch, Report, Refresh time.Duration
	// Sweep is how often the clocks are looked at [500 ms].
	Sweep time.Duration
}

func (l *Limits) defaults() {
	for _, d := range []struct {
		p *int
		v int
	}{
		{&l.Frame, 64 << 10}, {&l.Message, 8192}, {&l.Subscriptions, 32}, {&l.ConnectionsPerUser, 20},
		{&l.Connections, 20000}, {&l.Unauthenticated, 1000}, {&l.CommandBurst, 20}, {&l.FrameBurst, 300},
		{&l.BadFrames, 20}, {&l.BatchEvents, 64}, {&l.BatchBytes, 16 << 10}, {&l.ControlQueue, 128},
		{&l.LogEvents, 1000}, {&l.LogBytes, 1 << 20},
	} {
		if *d.p <= 0 {
			*d.p = d.v
		}
	}
	if l.CommandsPerSecond <= 0 {
		l.CommandsPerSecond = 10
	}
	if l.FramesPerSecond <= 0 {
		l.FramesPerSecond = 100
	}
}

func (t *Times) defaults() {
	for _, d := range []struct {
		p *time.Duration
		v time.Duration
	}{
		{&t.Hello, 10 * time.Second}, {&t.Ping, 20 * time.Second}, {&t.Pong, 8 * time.Second},
		{&t.Write, 10 * time.Second}, {&t.Message, 10 * time.Second}, {&t.Command, 15 * time.Second},
		{&t.Attach, 5 * time.Second}, {&t.TokenWarn, time.Minute}, {&t.Heartbeat, 15 * time.Second},
		{&t.StreamLife, 10 * time.Minute}, {&t.Retry, time.Second}, {&t.LogWait, 25 * time.Second},
		{&t.Ticket, time.Minute}, {&t.Beat, 2 * time.Second}, {&t.LoginCheck, 2 * time.Second},
		{&t.DrainSpread, 10 * time.Second}, {&t.DrainGrace, 3 * time.Second}, {&t.Touch, time.Minute},
		{&t.Report, 5 * time.Second}, {&t.Refresh, 20 * time.Minute}, {&t.Sweep, 500 * time.Millisecond},
	} {
		if *d.p <= 0 {
			*d.p = d.v
		}
	}
}
