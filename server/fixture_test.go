package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/domains/practice"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Ids that the fakes know: ann owns annsID, ben owns bensID.
const (
	annsID = "0198c2a4-0000-7000-8000-00000000000a"
	bensID = "0198c2a4-0000-7000-8000-00000000000b"
	noID   = "0198c2a4-0000-7000-8000-0000000000ff"
)

// fakeAuth takes "tok-<learner>" and says why it refuses others.
type fakeAuth struct{}

func (fakeAuth) Verify(_ context.Context, token string) (Identity, error) {
	switch who, ok := strings.CutPrefix(token, "tok-"); {
	case ok:
		return Identity{Learner: who}, nil
	case token == "old":
		return Identity{}, fault.New(fault.TokenExpired, "The token has expired.")
	case token == "dbdown":
		return Identity{}, errors.New("pq: secret host 10.0.0.7 refused")
	default:
		return Identity{}, fault.New(fault.Unauthenticated, "The token is not valid.")
	}
}

func owns(learner, id string) bool {
	return learner == "ann" && id == annsID || learner == "ben" && id == bensID
}

// fakePractice and fakeConversations answer from the two ids above and record
// what they were asked.
type fakePractice struct {
	mu   sync.Mutex
	seen []practice.RequestInput
	err  error
}

func (f *fakePractice) RequestScenario(_ context.Context, _ string, in practice.RequestInput) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, in)
	return annsID, f.err
}

func (f *fakePractice) List(_ context.Context, learner, before string, limit int) ([]practice.View, string, error) {
	if learner == "panic" {
		panic("learner text: my boss is awful")
	}
	return nil, "", f.err
}

func (f *fakePractice) Get(_ context.Context, learner, id string) (practice.View, error) {
	if !owns(learner, id) {
		return practice.View{}, practice.ErrNoScenario
	}
	return exampleScenario, f.err
}

func (f *fakePractice) StartConversation(_ context.Context, learner, scenario, _ string) (practice.Started, error) {
	if !owns(learner, scenario) {
		return practice.Started{}, practice.ErrNoScenario
	}
	return practice.Started{ID: annsID, Title: "t"}, f.err
}

type fakeConversations struct {
	mu    sync.Mutex
	sent  []conversation.SendInput
	open  *conversation.OpenReply
	head  conversation.Head
	turns []conversation.Turn
	// stored turns of size bytes are in a transcript that fails after breakAt;
	// each page of conversations is repeated pages times.
	stored, breakAt int64
	size, pages     int
}

func (f *fakeConversations) Send(_ context.Context, in conversation.SendInput) (conversation.Accepted, error) {
	if !owns(string(in.Learner), string(in.Conversation)) {
		return conversation.Accepted{}, conversation.ErrNotFound
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, in)
	return conversation.Accepted{MessageID: "m", Turn: 1, Run: 1}, nil
}

func (f *fakeConversations) Branch(_ context.Context, l conversation.LearnerID, id conversation.ID, run, before int64, limit int) (conversation.BranchPage, error) {
	if !owns(string(l), string(id)) {
		return conversation.BranchPage{}, conversation.ErrNotFound
	}
	return conversation.BranchPage{Tip: conversation.Head{Run: run, Turn: before}, Turns: make([]conversation.Turn, limit)}, nil
}

func (f *fakeConversations) Branches(_ context.Context, l conversation.LearnerID, id conversation.ID, _ int64, _ int) ([]conversation.Tip, int64, error) {
	if !owns(string(l), string(id)) {
		return nil, 0, conversation.ErrNotFound
	}
	return []conversation.Tip{{Head: conversation.Head{Run: 2, Turn: 1}, Active: true, State: "completed"}}, 0, nil
}

// RunState knows runs by what the state says: ended ones have a reply.
func (f *fakeConversations) RunState(_ context.Context, l conversation.LearnerID, id conversation.ID, run int64) (conversation.RunRow, error) {
	if !owns(string(l), string(id)) {
		return conversation.RunRow{}, conversation.ErrNotFound
	}
	row := conversation.RunRow{Run: conversation.Run{No: run, MessageID: "reply-" + strconv.FormatInt(run, 10)}, State: conversation.RunPending}
	for _, t := range f.turns {
		if t.Author == conversation.Partner && t.Run == run {
			row.State = conversation.RunCompleted
		}
	}
	return row, nil
}

func (f *fakeConversations) Cancel(_ context.Context, l conversation.LearnerID, id conversation.ID, run int64) (conversation.Stopped, error) {
	if !owns(string(l), string(id)) {
		return conversation.Stopped{}, conversation.ErrNotFound
	}
	return conversation.Stopped{Run: run, State: "stopped"}, nil
}

func (f *fakeConversations) Snapshot(_ context.Context, l conversation.LearnerID, id conversation.ID) (conversation.State, string, error) {
	if !owns(string(l), string(id)) {
		return conversation.State{}, "", conversation.ErrNotFound
	}
	return conversation.State{Open: f.open, Turns: f.turns, Head: f.head, Header: conversation.Header{ID: id, Kind: conversation.KindChat, Owner: l, Title: "t", State: "active",
		Meta: json.RawMessage(`{"scenario_id":"s","partner":"SECRETGOAL"}`)}}, "1.a.2", nil
}

func (f *fakeConversations) List(_ context.Context, l conversation.LearnerID, _ conversation.Kind, before string, _ int) ([]conversation.Header, string, error) {
	return []conversation.Header{{ID: annsID, Title: "t", State: "active", Meta: json.RawMessage(`{"scenario_id":"s","goal":"SECRETGOAL"}`)}}, f.next(before), nil
}

func (*fakeConversations) erase(_ context.Context, l conversation.LearnerID, id conversation.ID) error {
	if !owns(string(l), string(id)) {
		return conversation.ErrNotFound
	}
	return nil
}

// next is "next1" for tests of one page, else it counts pages down.
func (f *fakeConversations) next(before string) string {
	if f.pages == 0 {
		return "next1"
	}
	if len(before)+1 == f.pages {
		return ""
	}
	return before + "n"
}

// Turns has as many turns as the test says, of a given size.
func (f *fakeConversations) Turns(_ context.Context, l conversation.LearnerID, id conversation.ID, after int64, limit int) ([]conversation.Turn, error) {
	if !owns(string(l), string(id)) {
		return nil, conversation.ErrNotFound
	}
	if f.breakAt > 0 && after >= f.breakAt {
		return nil, errors.New("pq: secret host 10.0.0.7 refused")
	}
	var out []conversation.Turn
	for n := after + 1; n <= f.stored && len(out) < limit; n++ {
		out = append(out, f.turn(n))
	}
	return out, nil
}

// Path of the shown branch is everything; run 2 is the tip of one with the odd
// numbers, newest first so that the order is not that of the numbers.
func (f *fakeConversations) Path(_ context.Context, l conversation.LearnerID, id conversation.ID, run int64) ([]int64, error) {
	if !owns(string(l), string(id)) || run != 0 && run != 2 {
		return nil, conversation.ErrNotFound
	}
	var ns []int64
	for n := int64(1); n <= f.stored; n++ {
		switch {
		case run == 0:
			ns = append(ns, n)
		case n%2 == 1:
			ns = append([]int64{n}, ns...)
		}
	}
	return ns, nil
}

func (f *fakeConversations) TurnsOf(_ context.Context, l conversation.LearnerID, id conversation.ID, ns []int64) ([]conversation.Turn, error) {
	if !owns(string(l), string(id)) {
		return nil, conversation.ErrNotFound
	}
	if f.breakAt > 0 && ns[0] > f.breakAt {
		return nil, errors.New("pq: secret host 10.0.0.7 refused")
	}
	var out []conversation.Turn
	for _, n := range ns {
		out = append(out, f.turn(n))
	}
	return out, nil
}

// turn is one of those that are stored.
func (f *fakeConversations) turn(n int64) conversation.Turn {
	return conversation.Turn{N: n, ID: "m", Author: conversation.Learner, Text: "say \"<hi>\"\n" + strings.Repeat("x", f.size)}
}

type fixture struct {
	*Server
	practice *fakePractice
	convs    *fakeConversations
	replies  []sessions.ReplyRequest
	logs     *syncBuffer
}

// syncBuffer collects log lines from several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newFixture(t *testing.T, change func(*Deps)) *fixture {
	t.Helper()
	f := &fixture{practice: &fakePractice{}, convs: &fakeConversations{}, logs: &syncBuffer{}}
	echo := func(w http.ResponseWriter, _ *http.Request, id string) {
		_, _ = io.WriteString(w, "stream "+id)
	}
	d := Deps{
		Logger: slog.New(slog.NewTextHandler(f.logs, nil)), Version: "test",
		Authenticator: fakeAuth{}, Practice: f.practice, Conversations: f.convs, Erase: f.convs.erase,
		WebSocket:   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		Transcripts: f.convs, Events: echo, Log: echo, Replies: f.reply, Tickets: &fakeTickets{},
		Static: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page "+r.URL.Path) }),
	}
	if change != nil {
		change(&d)
	}
	s, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	return f
}

// reply stands in for sessions: it does the command and tells the run.
func (f *fixture) reply(w http.ResponseWriter, r *http.Request, q sessions.ReplyRequest) {
	f.replies = append(f.replies, q)
	if q.Begin == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	run, _, err := q.Begin(r.Context(), conversation.LearnerID(learnerOf(r.Context())))
	if err != nil {
		q.Refuse(w, r, err)
		return
	}
	for _, msg := range slices.Concat(q.Encoder.Open(), q.Encoder.Begin("m"), q.Encoder.Text("run "+strconv.FormatInt(run, 10))) {
		_, _ = w.Write(append(msg, '\n'))
	}
}

// call asks the handler; headers are "Name: value".
func (f *fixture) call(t *testing.T, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		if k == "Host" {
			r.Host = v
		} else if strings.HasPrefix(v, "-") {
			r.Header.Del(k)
		} else {
			r.Header.Add(k, v)
		}
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

const ann = "Authorization: Bearer tok-ann"

// wantProblem checks the whole contract of an error answer.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, code fault.Code) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("not a problem document: %d %q", w.Code, w.Body.String())
	}
	spec := fault.SpecOf(code)
	if p.Code != code || w.Code != spec.Status || p.Status != spec.Status || p.Title != spec.Title || p.Detail == "" ||
		p.Type != problemType+string(code) {
		t.Fatalf("got %d %+v, want %s", w.Code, p, code)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("content type %q", ct)
	}
	if id := w.Header().Get("X-Request-Id"); id == "" || id != p.RequestID {
		t.Fatalf("request id %q in the header, %q in the body", id, p.RequestID)
	}
	return p
}
