// Package asyncapi writes api/asyncapi.json, the machine-readable half of
// docs/protocol.md, from Go types, and checks messages of the wire against
// them. The types are the client's view: what the server sends is held to them
// by a test with real traffic.
//
//	go test ./internal/asyncapi -update
package asyncapi

import (
	"encoding/json"

	"github.com/fluentpro/fluentpro/internal/client"
)

// entry is one kind of message; the struct's fields are its schema. A field
// without omitempty is always there.
type entry struct {
	name, doc string
	data      any
}

type none struct{}

type created struct {
	Kind  string `json:"kind" enum:"chat,scenario"`
	Title string `json:"title"`
}

type started struct {
	MessageID string `json:"message_id"`
	Parent    int64  `json:"parent" doc:"number of the turn that is answered, 0 for none"`
}

type delta struct {
	At   int64  `json:"at" doc:"where the text begins, in UTF-16 units"`
	Text string `json:"text"`
}

type recovering struct {
	Reason  string `json:"reason" enum:"node_dead,handoff,upstream_lost,invalid"`
	Attempt int64  `json:"attempt"`
}

type resumed struct {
	Keep int64 `json:"keep" doc:"UTF-16 units that stay"`
}

type stopping struct {
	By string `json:"by"`
	At int64  `json:"at" doc:"where the text ends, in UTF-16 units"`
}

type completed struct {
	MessageID string `json:"message_id"`
	Text      string `json:"text"`
	Finish    string `json:"finish" enum:"stop,length,content_filter"`
	N         int64  `json:"n,omitempty" doc:"turn number; a scenario has none"`
	Parent    int64  `json:"parent" doc:"number of the turn that is answered, 0 for none"`
}

type stopped struct {
	MessageID string `json:"message_id"`
	Text      string `json:"text"`
	By        string `json:"by"`
	N         int64  `json:"n,omitempty" doc:"turn number; nothing that was said has none"`
	Parent    int64  `json:"parent" doc:"number of the turn that is answered, 0 for none"`
}

type failed struct {
	MessageID string `json:"message_id"`
	Text      string `json:"text"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	Run       int64  `json:"run"`
	Parent    int64  `json:"parent" doc:"number of the turn that is answered, 0 for none"`
}

type chosen struct {
	Run       int64  `json:"run" doc:"tip of the branch that is shown from now on"`
	Turn      int64  `json:"turn" doc:"number of the turn that the run answers, 0 for an opening"`
	By        string `json:"by" enum:"regenerate,select"`
	MessageID string `json:"message_id" doc:"of the reply"`
}

type ready struct {
	Scenario json.RawMessage `json:"scenario" doc:"see the OpenAPI document"`
}

type ended struct {
	Reason string `json:"reason"`
}

// runEvents come with each of the prefixes partner and scenario.
var runEvents = []entry{
	{"started", "The first attempt of a run has begun.", started{}},
	{"delta", "More text.", delta{}},
	{"recovering", "Another attempt has begun.", recovering{}},
	{"resumed", "The attempt goes on; nothing that is shown changes.", resumed{}},
	{"restarted", "The text begins anew; base is higher.", none{}},
	{"stopping", "A stop was accepted; the text ends at its mark.", stopping{}},
	{"completed", "Durable and final.", completed{}},
	{"stopped", "Ended by the learner, durable and final.", stopped{}},
	{"failed", "Ended by failure, durable and final.", failed{}},
}

var otherEvents = []entry{
	{"conversation.created", "The first event.", created{}},
	{"message.accepted", "A learner's message is durable.", client.Turn{}},
	{"branch.chosen", "Another branch is shown from now on: a reply is written anew, or one was selected.", chosen{}},
	{"scenario.ready", "The validated scenario is stored.", ready{}},
	{"conversation.ended", "No more messages are accepted.", ended{}},
}

type resetBody struct {
	Reason string `json:"reason" enum:"no_cursor,bad_cursor,epoch_changed,ahead,trimmed,slow,too_far"`
	Cur    string `json:"cur"`
}

type snapshotBody struct {
	Cur   string       `json:"cur"`
	State client.State `json:"state"`
}

type curBody struct {
	Cur string `json:"cur"`
}

type goawayBody struct {
	Reason  string `json:"reason"`
	AfterMS int64  `json:"after_ms"`
}

type errorBody struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	RetryMS   int64  `json:"retry_ms"`
}

type noticeBody struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// controls are the messages of an event stream that have no number.
var controls = []entry{
	{"reset", "The cursor cannot be served by replay; a snapshot follows.", resetBody{}},
	{"snapshot", "The folded state.", snapshotBody{}},
	{"caught_up", "Everything that was there at attach has been sent.", curBody{}},
	{"goaway", "Reconnect after so long.", goawayBody{}},
	{"error", "Passing trouble.", errorBody{}},
	{"notice", "For all devices of a learner; not kept.", noticeBody{}},
}

type envelope struct {
	V       int             `json:"v"`
	Seq     int64           `json:"seq"`
	From    int64           `json:"from,omitempty" doc:"first number that this event stands for; absent when it is seq"`
	Cur     string          `json:"cur"`
	Type    string          `json:"type"`
	Run     int64           `json:"run,omitempty"`
	Attempt int64           `json:"attempt,omitempty"`
	Base    int64           `json:"base,omitempty"`
	TS      int64           `json:"ts" doc:"milliseconds since 1970"`
	Data    json.RawMessage `json:"data"`
}

type heartbeat struct {
	IntervalMS int64 `json:"interval_ms"`
	TimeoutMS  int64 `json:"timeout_ms"`
}

type limits struct {
	FrameBytes    int     `json:"frame_bytes"`
	MessageChars  int     `json:"message_chars"`
	Subscriptions int     `json:"subscriptions"`
	Connections   int     `json:"connections_per_user"`
	Rate          float64 `json:"commands_per_second"`
	Burst         int     `json:"command_burst"`
	Frames        float64 `json:"frames_per_second"`
	FrameBurst    int     `json:"frame_burst"`
	BadFrames     int     `json:"bad_frames"`
}

type welcome struct {
	T       string    `json:"t"`
	Session string    `json:"session"`
	Node    string    `json:"node"`
	Resumed bool      `json:"resumed"`
	HB      heartbeat `json:"hb"`
	Limits  limits    `json:"limits"`
	Time    int64     `json:"server_time"`
}

type subOK struct {
	T    string `json:"t"`
	ID   string `json:"id,omitempty"`
	C    string `json:"c"`
	Mode string `json:"mode" enum:"replay,snapshot"`
	Cur  string `json:"cur"`
}

type evFrame struct {
	T string     `json:"t"`
	C string     `json:"c"`
	E []envelope `json:"e"`
}

type resetFrame struct {
	T string `json:"t"`
	C string `json:"c"`
	resetBody
}

type snapshotFrame struct {
	T string `json:"t"`
	C string `json:"c"`
	snapshotBody
}

type caughtUpFrame struct {
	T string `json:"t"`
	C string `json:"c"`
	curBody
}

type failure struct {
	Code      string          `json:"code"`
	Message   string          `json:"message"`
	Retryable bool            `json:"retryable"`
	RetryMS   int64           `json:"retry_ms,omitempty"`
	Fields    json.RawMessage `json:"fields,omitempty"`
}

type res struct {
	T    string          `json:"t"`
	ID   string          `json:"id"`
	OK   bool            `json:"ok"`
	Data json.RawMessage `json:"data,omitempty"`
	Err  *failure        `json:"err,omitempty"`
}

type pingPong struct {
	T string `json:"t"`
	N int64  `json:"n"`
}

type goawayFrame struct {
	T string `json:"t"`
	goawayBody
	GraceMS int64 `json:"grace_ms"`
}

type errFrame struct {
	T         string `json:"t"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
	RetryMS   int64  `json:"retry_ms,omitempty"`
	C         string `json:"c,omitempty"`
	ID        string `json:"id,omitempty"`
	Fields    any    `json:"fields,omitempty"`
}

type authOK struct {
	T       string `json:"t"`
	ID      string `json:"id,omitempty"`
	Expires int64  `json:"expires_at,omitempty" doc:"milliseconds since 1970; absent when the connection has no end"`
}

type noticeFrame struct {
	T string `json:"t"`
	noticeBody
}

var serverFrames = []entry{
	{"welcome", "Answer to hello.", welcome{}},
	{"sub_ok", "Precedes the first event.", subOK{}},
	{"auth_ok", "Answer to auth.", authOK{}},
	{"notice", "For all devices of a learner; not kept.", noticeFrame{}},
	{"ev", "Up to 64 events or 16 KiB.", evFrame{}},
	{"reset", "The cursor cannot be served by replay; a snapshot follows.", resetFrame{}},
	{"snapshot", "The folded state.", snapshotFrame{}},
	{"caught_up", "Everything that was there at attach has been sent.", caughtUpFrame{}},
	{"res", "Result of a command.", res{}},
	{"ping", "After 20 s of silence; answer within 8 s.", pingPong{}},
	{"pong", "Answer to ping.", pingPong{}},
	{"goaway", "Reconnect after so long.", goawayFrame{}},
	{"err", "A frame could not be used.", errFrame{}},
}

type resume struct {
	C   string `json:"c"`
	Cur string `json:"cur,omitempty"`
}

type hello struct {
	T       string   `json:"t"`
	Client  string   `json:"client,omitempty" doc:"name/version"`
	Session string   `json:"session,omitempty" doc:"of an earlier welcome"`
	Token   string   `json:"token,omitempty"`
	Ticket  string   `json:"ticket,omitempty" doc:"in place of a token"`
	Resume  []resume `json:"resume,omitempty"`
}

type sub struct {
	T   string `json:"t"`
	ID  string `json:"id,omitempty"`
	C   string `json:"c"`
	Cur string `json:"cur,omitempty"`
}

type auth struct {
	T      string `json:"t"`
	ID     string `json:"id,omitempty"`
	Token  string `json:"token,omitempty"`
	Ticket string `json:"ticket,omitempty" doc:"in place of a token"`
}

type unsub struct {
	T string `json:"t"`
	C string `json:"c"`
}

type args struct {
	Text    string `json:"text,omitempty" doc:"of send and edit"`
	Message string `json:"message,omitempty" doc:"of edit and regenerate: the id of the message, or its client id"`
	Policy  string `json:"policy,omitempty" enum:"enqueue,reject,interrupt,rollback" doc:"of all but cancel"`
	Run     int64  `json:"run,omitempty" doc:"of cancel; of select, the tip of the branch"`
	From    int64  `json:"from,omitempty" doc:"of select: the tip that is shown"`
}

type cmd struct {
	T    string `json:"t"`
	ID   string `json:"id"`
	Op   string `json:"op" enum:"send,edit,regenerate,select,cancel"`
	C    string `json:"c"`
	Key  string `json:"key,omitempty" doc:"client id of send, edit and regenerate"`
	Args args   `json:"args"`
}

type ack struct {
	T   string `json:"t"`
	C   string `json:"c"`
	Cur string `json:"cur"`
}

var clientFrames = []entry{
	{"hello", "First; nothing else is accepted before.", hello{}},
	{"sub", "Subscribe; without cur a snapshot comes first.", sub{}},
	{"unsub", "Unsubscribe.", unsub{}},
	{"cmd", "Send or edit a message, have a reply written anew, select a branch, cancel a run.", cmd{}},
	{"ack", "Optional, cumulative.", ack{}},
	{"auth", "A new token before the old one ends.", auth{}},
	{"ping", "Answered by pong.", pingPong{}},
	{"pong", "Answer to ping.", pingPong{}},
}
