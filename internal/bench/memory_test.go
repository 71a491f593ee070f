package bench

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

func TestKeysAreOfAKind(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ key, id, kind string }{
		{"cv:{7}:3:01abc:l", "01abc", "l"},
		{"cv:{7}:3:01abc:h", "01abc", "h"},
		{"cv:{7}:3:01abc:x", "", ""},
		{"cv:{7}:01abc:lk", "", "visits"},
		{"cv:{0}:mark", "", ""},
		{"cv:{7}:aside:1700:01abc:l", "", ""},
		{"sd:{learner}", "", "visits"},
		{"sv:{01abc}", "", "visits"},
		{"ev:{bus}:stream", "", "events"},
		{"sn:{nodes}", "", ""},
		{"", "", ""},
	} {
		if id, kind := keyKind(tc.key); id != tc.id || kind != tc.kind {
			t.Errorf("%q is %q of %q, want %q of %q", tc.key, kind, id, tc.kind, tc.id)
		}
	}
}

// The sums are what Redis says of each key, of the wanted conversations alone.
func TestKeysAreWeighedInARealRedis(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "redis-server")
	o := &Options{Dir: t.TempDir(), Talk: io.Discard}
	r, err := o.redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.stop()
	c, err := r.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	ask := func(args ...string) any {
		t.Helper()
		v, err := c.ask(args...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	empty, err := c.usedMemory()
	if err != nil || empty <= 0 {
		t.Fatal(empty, err)
	}
	text := strings.Repeat("x", 100_000)
	ask("SET", "cv:{1}:1:one:p", text)
	ask("XADD", "cv:{1}:1:one:l", "1-0", "e", "a")
	ask("XADD", "cv:{1}:1:one:l", "2-0", "e", "b")
	ask("HSET", "sv:{one}", "c", "v")
	ask("HSET", "cv:{1}:1:one:m", "c", "1")
	ask("SET", "cv:{2}:1:other:p", text)
	f := &Footprint{Conversations: 1}
	if err := f.keys(c, map[string]bool{"one": true}); err != nil {
		t.Fatal(err)
	}
	usage := func(key string) int64 { n, _ := ask("MEMORY", "USAGE", key, "SAMPLES", "0").(int64); return n }
	want := map[string]int64{"m": usage("cv:{1}:1:one:m"), "p": usage("cv:{1}:1:one:p"), "l": usage("cv:{1}:1:one:l"), "visits": usage("sv:{one}")}
	if !reflect.DeepEqual(f.Kinds, want) || want["p"] < 100_000 || want["l"] <= 0 || f.Entries != 2 {
		t.Errorf("%+v, want %v", f, want)
	}
	if f.logs() != want["m"]+want["p"]+want["l"] {
		t.Errorf("the log takes %d", f.logs())
	}
	if err := f.keys(c, map[string]bool{"one": true, "gone": true}); err == nil {
		t.Error("a conversation that is not there was weighed")
	}
	if full, err := c.usedMemory(); err != nil || full < empty+200_000 {
		t.Errorf("used memory grew from %d to %d, %v", empty, full, err)
	}
	if n, err := c.number("MEMORY", "USAGE", "nothing"); n != 0 || err != nil {
		t.Errorf("a key that is not there takes %d, %v", n, err)
	}
	if _, err := c.ask("NOSUCH"); err == nil {
		t.Error("an error was read as an answer")
	}
}
