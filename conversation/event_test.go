package conversation

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

var testEpoch = Epoch{Counter: 3, Nonce: "k9v"}

func TestEnvelopes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ev   Event
		want string
	}{
		{Event{Seq: 1, Type: TypeCreated, Fact: 1, TS: 5, Data: []byte(`{"kind":"chat","title":"t"}`)},
			`{"v":1,"seq":1,"cur":"3.k9v.1","type":"conversation.created","ts":5,"data":{"kind":"chat","title":"t"}}`},
		{Event{Seq: 412, From: 405, Type: "partner.delta", Run: 2, Attempt: 1, Base: 1, TS: 1780000000000, At: 118, Len: 9, Text: "a\"\\\n\t\r\x01<é😀\u2028"},
			`{"v":1,"seq":412,"from":405,"cur":"3.k9v.412","type":"partner.delta","run":2,"attempt":1,"base":1,"ts":1780000000000,"data":{"at":118,"text":"a\"\\\n\t\r\u0001<é😀\u2028"}}`},
		{Event{Seq: 4, From: 4, Type: "scenario.delta", Run: 1, Attempt: 2, Base: 1, Text: ""},
			`{"v":1,"seq":4,"cur":"3.k9v.4","type":"scenario.delta","run":1,"attempt":2,"base":1,"ts":0,"data":{"at":0,"text":""}}`},
		{Event{Seq: 5, Type: "partner.resumed", Run: 2, Attempt: 2, Base: 1, At: 9},
			`{"v":1,"seq":5,"cur":"3.k9v.5","type":"partner.resumed","run":2,"attempt":2,"base":1,"ts":0,"data":{"keep":9}}`},
		{Event{Seq: 6, Type: "partner.stopping", Run: 2, Attempt: 2, Base: 1, At: 9},
			`{"v":1,"seq":6,"cur":"3.k9v.6","type":"partner.stopping","run":2,"attempt":2,"base":1,"ts":0,"data":{"by":"learner","at":9}}`},
		{Event{Seq: 7, Type: "partner.restarted", Run: 2, Attempt: 3, Base: 3},
			`{"v":1,"seq":7,"cur":"3.k9v.7","type":"partner.restarted","run":2,"attempt":3,"base":3,"ts":0,"data":{}}`},
	} {
		got := string(tc.ev.AppendJSON([]byte("x"), testEpoch))
		if got != "x"+tc.want {
			t.Errorf("got  %s\nwant %s", got[1:], tc.want)
		}
		if !json.Valid([]byte(got[1:])) {
			t.Errorf("not JSON: %s", got[1:])
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	base := Event{Seq: 5, Type: "partner.delta", Run: 2, Attempt: 1, Base: 1, At: 4, Len: 3, TS: 1, Text: "a😀"}
	next := Event{Seq: 6, Type: "partner.delta", Run: 2, Attempt: 1, Base: 1, At: 7, Len: 1, TS: 2, Text: "b"}
	e := base
	if !e.Merge(&next, 100) || e.From != 5 || e.Seq != 6 || e.At != 4 || e.Len != 4 || e.Text != "a😀b" || e.TS != 2 {
		t.Errorf("merged %+v", e)
	}
	third := next
	third.Seq, third.At = 7, 8
	if !e.Merge(&third, 100) || e.From != 5 || e.Seq != 7 {
		t.Errorf("merged twice %+v", e)
	}
	for name, change := range map[string]func(*Event){
		"a hole":          func(n *Event) { n.At++ },
		"an overlap":      func(n *Event) { n.At-- },
		"another run":     func(n *Event) { n.Run++ },
		"another attempt": func(n *Event) { n.Attempt++ },
		"another base":    func(n *Event) { n.Base++ },
		"another kind":    func(n *Event) { n.Type = "scenario.delta" },
		"no delta":        func(n *Event) { n.Type = "partner.resumed" },
		"too long":        func(n *Event) { n.Text = strings.Repeat("x", 96) },
	} {
		e, n := base, next
		change(&n)
		if e.Merge(&n, 100) || e.From != 0 || e.Text != base.Text {
			t.Errorf("%s was merged: %+v", name, e)
		}
	}
	mark := Event{Seq: 5, Type: "partner.resumed", At: 7}
	if mark.Merge(&next, 100) {
		t.Error("a mark took text")
	}
}

func TestKindsOfEvents(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string][2]bool{ // delta, ends
		"partner.delta": {true, false}, "scenario.completed": {false, true}, "partner.stopped": {false, true}, "partner.failed": {false, true},
		"partner.started": {}, "partner.stopping": {}, "message.accepted": {}, "conversation.ended": {}, "delta": {}, "": {},
	} {
		e := Event{Type: typ}
		if e.IsDelta() != want[0] || e.EndsRun() != want[1] {
			t.Errorf("%q: delta %v, ends %v", typ, e.IsDelta(), e.EndsRun())
		}
	}
	for typ, want := range map[string]string{"scenario.ready": "res", "conversation.ended": "end", "partner.failed": "fail", "partner.completed": "", "message.accepted": ""} {
		if got := FoldField(typ); got != want {
			t.Errorf("%s folds into %q, want %q", typ, got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a\"b\\c", "\x00\x1f\x7f", "é😀\u2028\u2029\ufffd", "\xff\xfe", "a\xc3", "<script>&", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendString([]byte("x"), s)
		ref, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var a, b string
		if err := json.Unmarshal(got[1:], &a); err != nil {
			t.Fatalf("%q is no JSON: %v", got[1:], err)
		}
		if err := json.Unmarshal(ref, &b); err != nil {
			t.Fatal(err)
		}
		if a != b || utf8.ValidString(s) && a != s {
			t.Errorf("%q reads as %q, encoding/json's as %q", s, a, b)
		}
		for _, c := range got[1:] {
			if c < 0x20 {
				t.Errorf("a bare control character in %q", got[1:])
			}
		}
		if !utf8.Valid(got) {
			t.Errorf("not UTF-8: %q", got)
		}
	})
}

func FuzzUTF16Len(f *testing.F) {
	f.Add("a😀é")
	f.Add("\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := UTF16Len(s), int64(len(utf16.Encode([]rune(s)))); got != want {
			t.Errorf("%q has %d units, want %d", s, got, want)
		}
	})
}
