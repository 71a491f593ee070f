package redisstore

import (
	"strings"
	"testing"
	"time"
)

// FuzzParse reads whatever stands in Redis as a session: never more than what
// a later write could have put there, and what was read is written the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "1|c|{}", "99999999999999|c1|{\"created\":1,\"subs\":{\"a\":\"b\"}}", "x|c|{}", "1|c", "1||null", "9|c|[]", "9|c|{\"created\":\"x\"}", "-1|c|{}"} {
		f.Add(s)
	}
	st := New(nil, Options{SessionTTL: time.Minute})
	f.Fuzz(func(t *testing.T, value string) {
		v, ok := st.parse(value, "id", "ann")
		if !ok {
			return
		}
		if v.ID != "id" || v.User != "ann" || strings.Contains(v.Holder, "|") {
			t.Fatalf("%q reads as %+v", value, v)
		}
		body, err := visitJSON(v)
		if err != nil {
			return // a year that JSON cannot hold
		}
		till, _, _ := strings.Cut(value, "|")
		again, ok := st.parse(till+"|"+v.Holder+"|"+body, "id", "ann")
		if !ok || again.Client != v.Client || again.Node != v.Node || len(again.Subs) != len(v.Subs) || !again.LastSeen.Equal(v.LastSeen) {
			t.Fatalf("%q reads as %+v, then as %+v", value, v, again)
		}
	})
}
