package redislog

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/conversation"
)

const testID = conversation.ID("01890a5d-ac96-774b-bcce-b302099a8057")

func TestDecodeEntry(t *testing.T) {
	t.Parallel()
	const good = "b302099a8057|partner.delta|2|1|1|118|4|0|1780000000000|a|b\n😀"
	ev, err := decodeEntry(testID, 7, good)
	want := conversation.Event{Seq: 7, Type: "partner.delta", Run: 2, Attempt: 1, Base: 1, At: 118, Len: 4, TS: 1780000000000, Text: "a|b\n😀"}
	if d := cmp.Diff(want, ev); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	ev, err = decodeEntry(testID, 8, `b302099a8057|message.accepted|0|0|0|0|0|3|5|{"text":"a|b"}`)
	want = conversation.Event{Seq: 8, Type: "message.accepted", Fact: 3, TS: 5, Data: json.RawMessage(`{"text":"a|b"}`)}
	if d := cmp.Diff(want, ev); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{"", "b302099a8057", "aaaaaaaaaaaa" + good[12:], "|" + good, strings.Replace(good, "|118|", "|x|", 1),
		strings.Replace(good, "|118|", "||", 1), "b302099a8057|t|1|2|3|4|5|6|99999999999999999999|x"} {
		if _, err := decodeEntry(testID, 1, bad); err == nil {
			t.Errorf("%q was read", bad)
		} else if strings.Contains(err.Error(), "😀") {
			t.Errorf("the error carries text: %v", err)
		}
	}
}

func TestDecodeBell(t *testing.T) {
	t.Parallel()
	ep, ev, err := decodeBell(testID, "3.k9.7|b302099a8057|partner.started|2|1|1|0|0|0|5|{}")
	if err != nil || ep != (conversation.Epoch{Counter: 3, Nonce: "k9"}) || ev.Seq != 7 || ev.Type != "partner.started" {
		t.Errorf("got %v %+v (%v)", ep, ev, err)
	}
	for _, bad := range []string{"", "3.k9.7", "3.k9|x", "x.k9.7|b302099a8057|t|1|1|1|0|0|0|5|", "3.k9.7|aaaaaaaaaaaa|t|1|1|1|0|0|0|5|"} {
		if _, _, err := decodeBell(testID, bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	h := conversation.Header{ID: testID, Kind: conversation.KindScenario, Owner: "l", Title: "a\u2028<b>", State: "active", CreatedAt: 5, Meta: json.RawMessage(`{"a":[1]}`)}
	s, err := encodeHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeHeader(testID, s)
	if d := cmp.Diff(h, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if _, err := decodeHeader("01890a5d-ac96-774b-bcce-b302099a8058", s); err == nil {
		t.Error("a foreign header was read")
	}
	if _, err := decodeHeader(testID, "{"); err == nil {
		t.Error("half a header was read")
	}
}

// TestShardIsRedisClusters: the CRC is the one that Redis Cluster uses, known
// from its specification.
func TestShardIsRedisClusters(t *testing.T) {
	t.Parallel()
	if got := shard("123456789"); got != 0x31C3%shards {
		t.Errorf("shard %d, want %d", got, 0x31C3%shards)
	}
	keys := append(logKeys(shard(testID), 7, testID), markKey(shard(testID)))
	tag := keys[0][:strings.IndexByte(keys[0], '}')+1]
	for _, k := range append(keys, LockKey(testID), Channel(testID)) {
		if !strings.HasPrefix(k, tag) {
			t.Errorf("key %s is not in slot %s", k, tag)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add("b302099a8057|partner.delta|2|1|1|118|4|0|1780000000000|a|b")
	f.Add("b302099a8057|x|0|0|0|0|0|1|5|{}")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		ev, err := decodeEntry(testID, 3, s)
		if err == nil && (!strings.HasPrefix(s, "b302099a8057|"+ev.Type+"|") || ev.Seq != 3 || ev.IsDelta() && len(ev.Data) > 0 ||
			!ev.IsDelta() && ev.Text != "") {
			t.Errorf("%q reads as %+v", s, ev)
		}
	})
}

func FuzzDecodeBell(f *testing.F) {
	f.Add("3.k9.7|b302099a8057|partner.started|2|1|1|0|0|0|5|{}")
	f.Add("3.k9.07|")
	f.Fuzz(func(t *testing.T, s string) {
		ep, ev, err := decodeBell(testID, s)
		if err == nil && (ep.Zero() || !strings.HasPrefix(s, conversation.Cursor{Epoch: ep, Seq: ev.Seq}.String()+"|") || utf8.ValidString(s) && !utf8.ValidString(ev.Type)) {
			t.Errorf("%q reads as %v %+v", s, ep, ev)
		}
	})
}

// A log that was begun by a node without branches is read as one branch.
func TestTurnsOfOlderNodes(t *testing.T) {
	t.Parallel()
	turns, err := decodeTurns([]string{
		sealed([]byte(`{"n":1,"id":"a","author":"partner","text":"Hi","run":1,"at":1}`)),
		sealed([]byte(`{"n":2,"id":"b","author":"learner","text":"A","run":2,"at":1}`)),
		sealed([]byte(`{"n":3,"id":"c","author":"learner","text":"B","run":3,"at":1}`)),
		sealed([]byte(`{"n":4,"id":"d","author":"partner","text":"a","run":2,"at":1}`)),
		sealed([]byte(`{"n":5,"id":"e","author":"learner","text":"C","run":4,"at":1,"parent":2,"after":2}`)),
		sealed([]byte(`{"n":6,"id":"f","author":"learner","text":"D","run":5,"at":1,"parent":0}`)),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]int64
	for _, turn := range turns {
		got = append(got, [2]int64{turn.Parent, turn.After})
	}
	if d := cmp.Diff([][2]int64{{0, 0}, {0, 1}, {2, 2}, {2, 0}, {2, 2}, {0, 0}}, got); d != "" {
		t.Error(d)
	}
	if h := decodeHead("", turns[:4]); h != (conversation.Head{Run: 3, Turn: 3}) {
		t.Errorf("head %+v", h)
	}
	if h := decodeHead("", turns[:1]); h != (conversation.Head{Run: 1}) {
		t.Errorf("head of an opening %+v", h)
	}
	if h := decodeHead(encodeHead(conversation.Head{Run: 7, Turn: 3}), turns); h != (conversation.Head{Run: 7, Turn: 3}) {
		t.Errorf("head %+v", h)
	}
	if _, err := decodeTurns([]string{sealed([]byte("{"))}); err == nil {
		t.Error("half a turn was read")
	}
}

// What a newer version may have written is no damage: types and fields that
// this one does not know. What could not be passed on as it is, is.
func TestOfANewerVersion(t *testing.T) {
	t.Parallel()
	id := conversation.NewID()
	entry := func(kind, payload string) string {
		return tag(id) + "|" + kind + "|2|1|1|0|0|0|1780000000000|" + payload
	}
	for _, c := range []struct{ kind, payload, want string }{
		{"partner.mood", `{"mood":"calm"}`, `"type":"partner.mood","run":2,"attempt":1,"base":1,"ts":1780000000000,"data":{"mood":"calm"}}`},
		{"conversation.pinned-2", "", `"data":{}}`},
		{"partner.completed", `{"text":"x","later":[1,{"a":"|"}]}`, `"data":{"text":"x","later":[1,{"a":"|"}]}}`},
	} {
		ev, err := decodeEntry(id, 7, entry(c.kind, c.payload))
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
			continue
		}
		js := ev.AppendJSON(nil, conversation.Epoch{Counter: 1, Nonce: "n"})
		if !json.Valid(js) || !strings.HasSuffix(string(js), c.want) {
			t.Errorf("%s is passed on as %s", c.kind, js)
		}
	}
	for _, bad := range []string{entry("partner.mood", "calm"), entry("partner.completed", `{"text":`), entry(`x","y":"`, ""), entry("", "{}"), entry("Ü", "{}")} {
		if _, err := decodeEntry(id, 7, bad); !errors.Is(err, conversation.ErrLogDamaged) {
			t.Errorf("%q is read (%v)", bad, err)
		}
	}
	h, err := decodeHeader(id, sealed([]byte(`{"id":"`+string(id)+`","kind":"duel","title":"T","state":"paused","owner":"ann","rounds":{"n":3}}`)))
	if err != nil || h.Kind != "duel" || h.Owner != "ann" {
		t.Errorf("header %+v, %v", h, err)
	}
	turns, err := decodeTurns([]string{sealed([]byte(`{"n":1,"id":"t","author":"judge","text":"Hm.","parent":0,"stars":5}`))})
	if err != nil || len(turns) != 1 || turns[0].Text != "Hm." {
		t.Errorf("turns %+v, %v", turns, err)
	}
}
