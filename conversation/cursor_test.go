package conversation

import (
	"regexp"
	"strings"
	"testing"
)

func TestParseCursor(t *testing.T) {
	t.Parallel()
	for _, c := range []Cursor{{Epoch{1, "a"}, 0}, {Epoch{9223372036854775807, "0az9"}, 9223372036854775807}, {Epoch{3, "6b04159fc7b76"}, 412}} {
		got, ok := ParseCursor(c.String())
		if !ok || got != c {
			t.Errorf("%s reads as %+v, %v", c, got, ok)
		}
	}
	for _, s := range []string{"", ".", "..", "1.a", "1..2", ".a.2", "1.a.", "0.a.1", "-1.a.1", "1.a.-1", "01.a.1", "1.a.01", "+1.a.1", "1.a.+1", "1.A.1", "1.a b.1",
		"1.a.1.", "1.a.1.2", " 1.a.1", "1.a.1\n", "1.é.1", "9223372036854775808.a.1", "1.a.99999999999999999999", "1." + strings.Repeat("a", 62) + ".1", "1.a\x00.1", "v1.1.a.1", "1.a.1e3", "0x1.a.1"} {
		if got, ok := ParseCursor(s); ok {
			t.Errorf("%q reads as %+v", s, got)
		}
	}
}

func TestEpochZero(t *testing.T) {
	t.Parallel()
	for ep, want := range map[Epoch]bool{{}: true, {1, ""}: true, {0, "a"}: true, {1, "a"}: false} {
		if ep.Zero() != want {
			t.Errorf("%+v: zero %v", ep, ep.Zero())
		}
	}
}

var cursorShape = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"1.a.0", "3.k9v3x2aa.412", "01.a.1", "", "1..1", "9223372036854775807.z.9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := ParseCursor(s)
		if ok && (c.String() != s || c.Zero() || c.Seq < 0 || !cursorShape.MatchString(s)) {
			t.Errorf("%q reads as %+v", s, c)
		}
	})
}

func TestParseID(t *testing.T) {
	t.Parallel()
	id := NewID()
	for _, s := range []string{string(id), strings.ToUpper(string(id))} {
		if got, err := ParseID(s); err != nil || got != id {
			t.Errorf("%s reads as %s (%v)", s, got, err)
		}
	}
	for _, s := range []string{"", "x", string(id) + " ", "{" + string(id) + "}", "urn:uuid:" + string(id), strings.ReplaceAll(string(id), "-", ""), string(id[:35]) + "g"} {
		if got, err := ParseID(s); err != ErrNotFound {
			t.Errorf("%q reads as %s (%v)", s, got, err)
		}
	}
	if a, b := NewID(), NewID(); a >= b {
		t.Errorf("ids do not rise: %s, %s", a, b)
	}
}
