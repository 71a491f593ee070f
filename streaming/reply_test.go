package streaming_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/streaming"
)

// plain writes what it is told as words.
type plain struct{}

func say(format string, args ...any) [][]byte { return [][]byte{fmt.Appendf(nil, format, args...)} }

func (plain) Open() [][]byte                       { return say("open") }
func (plain) Begin(id string) [][]byte             { return say("begin %s", id) }
func (plain) Text(text string) [][]byte            { return say("text %s", text) }
func (plain) Status(state, reason string) [][]byte { return say("status %s %s", state, reason) }
func (plain) Fact(kind, id, typ string, data json.RawMessage) [][]byte {
	return say("fact %s %s %s %s", kind, id, typ, data)
}
func (plain) Completed(finish string) [][]byte { return say("completed %s", finish) }
func (plain) Stopped() [][]byte                { return say("stopped") }
func (plain) Failed(code, msg string) [][]byte { return say("failed %s %s", code, msg) }

func ev(verb string, base int, data string) string {
	return fmt.Sprintf(`{"v":1,"type":"partner.%s","run":2,"base":%d,"data":{%s}}`, verb, base, data)
}

func fact(seq, run int, typ, data string) string {
	return fmt.Sprintf(`{"v":1,"seq":%d,"type":%q,"run":%d,"data":%s}`, seq, typ, run, data)
}

func delta(at int, text string) string {
	return ev("delta", 1, fmt.Sprintf(`"at":%d,"text":%q`, at, text))
}

func TestReplyFromEvents(t *testing.T) {
	t.Parallel()
	started := ev("started", 1, `"message_id":"m"`)
	for _, tc := range []struct {
		name   string
		events []string
		want   string
		cut    bool
		open   bool
	}{
		{"plain", []string{started, delta(0, "He"), delta(2, "y"), ev("completed", 1, `"message_id":"m","text":"Hey","finish":"stop"`)},
			"begin m|text He|text y|completed stop", false, false},
		{"overlap by UTF-16", []string{started, delta(0, "a😀"), delta(1, "😀b"), delta(0, "a")}, "begin m|text a😀|text b", false, true},
		{"the end brings the rest", []string{started, delta(0, "He"), ev("completed", 1, `"message_id":"m","text":"Hey","finish":"length"`)},
			"begin m|text He|text y|completed length", false, false},
		{"begun at its end", []string{delta(0, "He"), ev("completed", 1, `"message_id":"m","text":"Hey"`)}, "begin m|text He|text y|completed ", false, false},
		{"takeover", []string{started, delta(0, "He"), ev("recovering", 1, `"reason":"node_dead"`), ev("recovering", 1, `"reason":"node_dead"`), ev("resumed", 1, `"keep":2`), delta(2, "y")},
			"begin m|text He|status recovering node_dead|status resumed |text y", false, true},
		{"stopped", []string{started, delta(0, "He"), ev("stopping", 1, `"at":2`), ev("stopped", 1, `"message_id":"m","text":"He"`), delta(2, "y")}, "begin m|text He|stopped", false, false},
		{"failed keeps what was shown", []string{started, delta(0, "He"), ev("failed", 1, `"message_id":"m","text":"","code":"upstream_timeout","message":"Slow."`)},
			"begin m|text He|failed upstream_timeout Slow.", false, false},
		{"facts of the practice", []string{fact(7, 0, "feedback.early", `{}`), started, delta(0, "He"), fact(8, 2, "feedback.ready", `{"id":"f1","text":{"no":"string"}}`),
			fact(9, 0, "objective.met", `{"n":1}`), fact(10, 3, "objective.met", `{}`), delta(2, `"type":"feedback.`)},
			`begin m|text He|fact feedback f1 feedback.ready {"id":"f1","text":{"no":"string"}}|fact objective objective-9 objective.met {"n":1}|text "type":"feedback.`, false, true},
		{"another run", []string{strings.Replace(started, `"run":2`, `"run":3`, 1), strings.Replace(delta(0, "x"), `"run":2`, `"run":1`, 1)}, "", false, true},
		{"begun anew before anything was told", []string{started, ev("restarted", 2, ""), ev("delta", 2, `"at":0,"text":"Yo"`), delta(0, "old")}, "begin m|text Yo", false, true},
		{"taken back", []string{started, delta(0, "He"), ev("restarted", 2, "")}, "begin m|text He", true, true},
		{"another text at the end", []string{started, delta(0, "He"), ev("completed", 1, `"message_id":"m","text":"Yo"`)}, "begin m|text He", true, true},
		{"a hole", []string{started, delta(3, "y")}, "begin m", true, true},
	} {
		r := streaming.NewReply(2, plain{})
		var got []string
		var err error
		for _, e := range tc.events {
			var out [][]byte
			if out, err = r.Event([]byte(e)); err != nil {
				break
			}
			for _, o := range out {
				got = append(got, string(o))
			}
		}
		if s := strings.Join(got, "|"); s != tc.want || errors.Is(err, streaming.ErrReplyCut) != tc.cut || r.Over() == tc.open {
			t.Errorf("%s: got %q, %v, over %v", tc.name, s, err, r.Over())
		}
	}
}

func TestReplyFromSnapshots(t *testing.T) {
	t.Parallel()
	open := func(base int64, text string) *conversation.State {
		return &conversation.State{Open: &conversation.OpenReply{Run: 2, MessageID: "m", Attempt: 1, Base: base, Text: text}}
	}
	turn := func(text, finish string) *conversation.State {
		return &conversation.State{Turns: []conversation.Turn{{N: 1, Author: conversation.Learner, Run: 2}, {N: 2, ID: "m", Author: conversation.Partner, Run: 2, Text: text, Finish: finish}}}
	}
	for _, tc := range []struct {
		name   string
		states []*conversation.State
		want   string
		known  bool
		cut    bool
	}{
		{"open, further, behind", []*conversation.State{open(1, "He"), open(1, "Hey"), open(1, "H")}, "begin m|text He|text y", true, false},
		{"open, then ended", []*conversation.State{open(1, "He"), turn("Hey", "stop")}, "begin m|text He|text y|completed stop", true, false},
		{"ended before", []*conversation.State{turn("Hey", "stop")}, "begin m|text Hey|completed stop", true, false},
		{"stopped before", []*conversation.State{turn("He", "stopped")}, "begin m|text He|stopped", true, false},
		{"unknown", []*conversation.State{{}}, "", false, false},
		{"an older base", []*conversation.State{open(2, "He"), open(1, "Yo")}, "begin m|text He", true, false},
		{"taken back", []*conversation.State{open(1, "He"), open(2, "He")}, "begin m|text He", true, true},
		{"another text", []*conversation.State{open(1, "He"), open(1, "Yo")}, "begin m|text He", true, true},
	} {
		r := streaming.NewReply(2, plain{})
		var got []string
		var err error
		known := false
		for _, st := range tc.states {
			var out [][]byte
			out, known, err = r.Snapshot(st)
			for _, o := range out {
				got = append(got, string(o))
			}
		}
		if s := strings.Join(got, "|"); s != tc.want || known != tc.known || errors.Is(err, streaming.ErrReplyCut) != tc.cut {
			t.Errorf("%s: got %q, known %v, %v", tc.name, s, known, err)
		}
	}
	r := streaming.NewReply(2, plain{})
	out, err := r.Ended(streaming.RunEnd{State: "failed", MessageID: "m", Text: "He", Code: "internal", Message: "Oh."})
	if err != nil || fmt.Sprintf("%s", out) != "[begin m text He failed internal Oh.]" || !r.Over() || r.Status("queued", "") != nil {
		t.Errorf("ended elsewhere: %s, %v", out, err)
	}
	if _, err := streaming.NewReply(2, plain{}).Event([]byte("{")); err == nil {
		t.Error("half an event was taken")
	}
}
