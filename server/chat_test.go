package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// wantRefusal checks a short error, as foreign clients show it.
func (f *fixture) wantRefusal(t *testing.T, path, body string, code fault.Code, headers ...string) {
	t.Helper()
	w := f.call(t, "POST", path, body, headers...)
	var r refusal
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != fault.SpecOf(code).Status || r.Code != code || r.Message == "" ||
		w.Header().Get("Content-Type") != "application/json" || r.RequestID == "" {
		t.Errorf("%s %s: got %d %s, want %s", path, body, w.Code, w.Body, code)
	}
}

func chatBody(id, rest string, messages ...string) string {
	return `{"id":"` + id + `","messages":[` + strings.Join(messages, ",") + `]` + rest + `}`
}

const (
	userHi    = `{"id":"u1","role":"user","parts":[{"type":"file","url":"x","mediaType":"image/png"},{"type":"text","text":"hi"},{"type":"text","text":"there"}]}`
	userOld   = `{"id":"u0","role":"user","content":"long ago"}`
	assistant = `{"id":"a1","role":"assistant","parts":[{"type":"text","text":"Hello"},{"type":"tool-x","input":{"a":{"b":{"c":{}}}}}]}`
)

func TestChatReadsTheLastMessageOfTheUser(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, key, text, policy string }{
		{"parts", chatBody(annsID, `,"trigger":"submit-message","extra":{"x":1}`, userOld, assistant, userHi), "u1", "hi\nthere", ""},
		{"content", chatBody(annsID, "", userOld), "u0", "long ago", ""},
		{"the assistant's is last", chatBody(annsID, "", userHi, assistant), "u1", "hi\nthere", ""},
		{"foreign id", chatBody(annsID, "", `{"id":"a b/ü","role":"user","content":"x"}`), "h:", "x", ""},
		{"no id", chatBody(annsID, "", `{"role":"user","content":[{"type":"text","text":"x"},{"type":"binary","data":"y"}]}`), "h:", "x", ""},
		{"policy", chatBody(annsID, `,"policy":"interrupt"`, userHi), "u1", "hi\nthere", "interrupt"},
	} {
		f := newFixture(t, nil)
		w := f.call(t, "POST", "/api/chat", tc.body, ann)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"delta":"run 1"`) || len(f.convs.sent) != 1 {
			t.Errorf("%s: got %d %s", tc.name, w.Code, w.Body)
			continue
		}
		in := f.convs.sent[0]
		if in.Text != tc.text || in.Policy != tc.policy || in.Learner != "ann" || in.Conversation != annsID ||
			in.ClientID != tc.key && !(tc.key == "h:" && strings.HasPrefix(in.ClientID, "h:") && len(in.ClientID) == 45) {
			t.Errorf("%s: sent %+v", tc.name, in)
		}
		f.call(t, "POST", "/api/chat", tc.body, ann)
		if f.convs.sent[1].ClientID != in.ClientID {
			t.Errorf("%s: a repeat has another id", tc.name)
		}
	}
}

func TestChatRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, tc := range []struct {
		body    string
		code    fault.Code
		headers []string
	}{
		{chatBody(annsID, "", userHi), fault.Unauthenticated, nil},
		{chatBody(annsID, "", userHi), fault.ForeignOrigin, []string{ann, "Origin: https://evil.example"}},
		{chatBody(annsID, "", userHi), fault.ForeignOrigin, []string{"Cookie: fp_access=tok-ann"}},
		{chatBody(annsID, "", userHi), fault.UnsupportedMedia, []string{ann, "Content-Type: text/plain"}},
		{chatBody(bensID, "", userHi), fault.NotFound, []string{ann}},
		{chatBody("nope", "", userHi), fault.NotFound, []string{ann}},
		{chatBody(annsID, `,"trigger":"regenerate-message"`, userHi), fault.NotFound, []string{ann}},
		{chatBody(annsID, `,"trigger":"regenerate-message"`, assistant), fault.Invalid, []string{ann}},
		{chatBody(annsID, `,"trigger":"dance"`, userHi), fault.Invalid, []string{ann}},
		{chatBody(annsID, `,"trigger":"submit-message","messageId":"u1"`, userHi), fault.NotFound, []string{ann}},
		{chatBody(annsID, `,"messageId":"`+strings.Repeat("x", 300)+`"`, userHi), fault.Invalid, []string{ann}},
		{chatBody(annsID, "", assistant), fault.Invalid, []string{ann}},
		{chatBody(annsID, "", `7`), fault.BadRequest, []string{ann}},
		{`{"id":7}`, fault.BadRequest, []string{ann}},
		{`[`, fault.BadRequest, []string{ann}},
		{`{"id":"` + strings.Repeat("x", maxForeignBody) + `"}`, fault.TooLarge, []string{ann}},
	} {
		f.wantRefusal(t, "/api/chat", tc.body, tc.code, tc.headers...)
	}
	if len(f.convs.sent) != 0 {
		t.Errorf("sent %+v", f.convs.sent)
	}
	big := strings.Repeat(userOld+",", 3000) // a long talk is more than other requests may have
	if w := f.call(t, "POST", "/api/chat", chatBody(annsID, "", big+userHi), ann); w.Code != 200 {
		t.Errorf("a long talk: %d %s", w.Code, w.Body)
	}
}

// A client keeps its ids whatever became of its messages: what is meant is
// found by what is shown, and the same request again is the same command.
func TestChatEditsAndRegenerates(t *testing.T) {
	t.Parallel()
	turns := []conversation.Turn{
		{N: 1, ID: "t1", Author: conversation.Learner, ClientID: "u1", Text: "hi\nthere", Run: 1},
		{N: 2, ID: "r1", Author: conversation.Partner, Text: "Hello", Run: 1, Parent: 1},
		{N: 3, ID: "t3", Author: conversation.Learner, ClientID: editPrefix("u1") + "1", Text: "hey", Run: 2},
		{N: 4, ID: "r2", Author: conversation.Partner, Text: "Hello!", Run: 2, Parent: 3},
	}
	edited := `{"id":"u1","role":"user","parts":[{"type":"text","text":"hallo"}]}`
	edit, regenerate := `,"trigger":"submit-message","messageId":"u1"`, `,"trigger":"regenerate-message"`
	for _, tc := range []struct {
		name, body string
		turns      int
		head       conversation.Head
		want       conversation.SendInput
		run        string
	}{
		{"edit", chatBody(annsID, edit, edited), 2, conversation.Head{Run: 1, Turn: 1},
			conversation.SendInput{Op: conversation.OpEdit, Message: "t1", ClientID: editPrefix("u1") + "1", Text: "hallo"}, "run 1"},
		{"edit again", chatBody(annsID, edit, edited), 4, conversation.Head{Run: 2, Turn: 3},
			conversation.SendInput{Op: conversation.OpEdit, Message: "t3", ClientID: editPrefix("u1") + "3", Text: "hallo"}, "run 1"},
		{"it says so already", chatBody(annsID, edit, strings.Replace(edited, "hallo", "hey", 1)), 4, conversation.Head{Run: 2, Turn: 3}, conversation.SendInput{}, "run 2"},
		{"an older branch is shown", chatBody(annsID, edit, strings.Replace(edited, "hallo", "hey", 1)), 4, conversation.Head{Run: 1, Turn: 1},
			conversation.SendInput{Op: conversation.OpEdit, Message: "t1", ClientID: editPrefix("u1") + "1", Text: "hey"}, "run 1"},
		{"regenerate the last", chatBody(annsID, regenerate, userHi), 4, conversation.Head{Run: 2, Turn: 3},
			conversation.SendInput{Op: conversation.OpRegenerate, Message: "reply-2", ClientID: "g:" + digest("reply-2")}, "run 1"},
		{"regenerate by the reply's id", chatBody(annsID, regenerate+`,"messageId":"r2"`, userHi), 4, conversation.Head{Run: 2, Turn: 3},
			conversation.SendInput{Op: conversation.OpRegenerate, Message: "r2", ClientID: "g:" + digest("r2")}, "run 1"},
		{"the reply is still to come", chatBody(annsID, regenerate, userHi), 4, conversation.Head{Run: 3, Turn: 3}, conversation.SendInput{}, "run 3"},
	} {
		f := newFixture(t, nil)
		f.convs.turns, f.convs.head = turns[:tc.turns], tc.head
		w := f.call(t, "POST", "/api/chat", tc.body, ann)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"delta":"`+tc.run+`"`) {
			t.Errorf("%s: got %d %s", tc.name, w.Code, w.Body)
			continue
		}
		var got conversation.SendInput
		if len(f.convs.sent) > 0 {
			got = f.convs.sent[0]
			tc.want.Conversation, tc.want.Learner = annsID, "ann"
		}
		if got != tc.want {
			t.Errorf("%s: sent %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestChatResumeAndStop(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	if w := f.call(t, "GET", "/api/chat/"+annsID+"/stream", "", ann); w.Code != 204 || f.replies[0].Conversation != annsID || f.replies[0].ReplayEnded != replayEnded {
		t.Fatalf("resume: %d, %+v", w.Code, f.replies)
	}
	stop := "/api/chat/" + annsID + "/stop"
	f.wantRefusal(t, stop, "", fault.Unauthenticated)
	f.wantRefusal(t, "/api/chat/"+bensID+"/stop", "", fault.NotFound, ann)
	f.wantRefusal(t, "/api/chat/x/stop", "", fault.NotFound, ann)
	type turns = []conversation.Turn
	learner := conversation.Turn{N: 1, Author: conversation.Learner, Run: 2}
	partner := conversation.Turn{N: 2, Author: conversation.Partner, Run: 2}
	for _, tc := range []struct {
		name  string
		open  *conversation.OpenReply
		turns turns
		run   int64
	}{
		{"nothing was said", nil, nil, 0},
		{"open", &conversation.OpenReply{Run: 2}, turns{learner}, 2},
		{"waiting", nil, turns{learner}, 2},
		{"answered", nil, turns{learner, partner}, 0},
	} {
		f := newFixture(t, nil)
		f.convs.open, f.convs.turns = tc.open, tc.turns
		w := f.call(t, "POST", stop, `{"activeStreamId":"x"}`, ann)
		var st conversation.Stopped
		if tc.run == 0 && w.Code != 204 || tc.run != 0 && (w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &st) != nil || st.Run != tc.run) {
			t.Errorf("%s: got %d %s", tc.name, w.Code, w.Body)
		}
	}
}

// What the protocol has no word for comes in forwardedProps.
func TestAGUIForwards(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		props string
		op    conversation.Op
		code  int
	}{
		{`{}`, conversation.OpSend, 200},
		{`null`, conversation.OpSend, 200},
		{`"x"`, conversation.OpSend, 200},
		{`{"trigger":7}`, conversation.OpSend, 200},
		{`{"policy":"rollback"}`, conversation.OpSend, 200},
		{`{"trigger":"regenerate-message","messageId":"r1"}`, conversation.OpRegenerate, 200},
		{`{"trigger":"regenerate-message"}`, conversation.OpRegenerate, 200},
		{`{"messageId":"u2"}`, conversation.OpEdit, 200},
		{`{"messageId":"u3"}`, "", 404},
	} {
		f := newFixture(t, nil)
		f.convs.turns = []conversation.Turn{{N: 1, ID: "t1", Author: conversation.Learner, ClientID: "u2", Text: "hey", Run: 1}, {N: 2, Author: conversation.Partner, Run: 1, Parent: 1}}
		f.convs.head = conversation.Head{Run: 1, Turn: 1}
		w := f.call(t, "POST", "/agui", `{"threadId":"`+annsID+`","runId":"r","forwardedProps":`+tc.props+`,"messages":[{"id":"u2","role":"user","content":"hi"}]}`, ann)
		if w.Code != tc.code || tc.code == 200 && (len(f.convs.sent) != 1 || f.convs.sent[0].Op != tc.op) {
			t.Errorf("%s: got %d %s, sent %+v", tc.props, w.Code, w.Body, f.convs.sent)
		}
		if strings.Contains(tc.props, "policy") && f.convs.sent[0].Policy != "rollback" {
			t.Errorf("%s: sent %+v", tc.props, f.convs.sent)
		}
	}
}

func TestAGUI(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	body := func(run string, messages ...string) string {
		return `{"threadId":"` + annsID + `","runId":"` + run + `","state":{},"tools":[],"context":[],"forwardedProps":{},"messages":[` + strings.Join(messages, ",") + `]}`
	}
	w := f.call(t, "POST", "/agui", body("r1", userOld, `{"id":"u2","role":"user","content":"hi"}`), ann)
	want := `{"type":"RUN_STARTED","threadId":"` + annsID + `","runId":"r1"}
{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant"}
{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"run 1"}
`
	if w.Code != 200 || w.Body.String() != want || f.convs.sent[0].Text != "hi" || f.convs.sent[0].ClientID != "u2" {
		t.Errorf("got %d %s, sent %+v", w.Code, w.Body, f.convs.sent)
	}
	// It comes back with what it has seen of the reply.
	w = f.call(t, "POST", "/agui", body("r1", `{"id":"u2","role":"user","content":"hi"}`, `{"id":"m","role":"assistant","content":"ru"}`), ann)
	if !strings.Contains(w.Body.String(), `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"u2","role":"user","content":"hi"}]}`) {
		t.Errorf("got %s", w.Body)
	}
	if w := f.call(t, "POST", "/agui", body("r1"), ann); w.Code != 204 {
		t.Errorf("without a message: %d", w.Code)
	}
	f.wantRefusal(t, "/agui", body("", userHi), fault.Invalid, ann)
	f.wantRefusal(t, "/agui", body(strings.Repeat("r", 257), userHi), fault.Invalid, ann)
	f.wantRefusal(t, "/agui", body("r1", userHi), fault.Unauthenticated)
}
