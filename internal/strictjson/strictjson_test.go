package strictjson

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`{}`, ""},
		{` {"a":[{"b":"\ud834\udd1e"},{"b":"\\u0000"}],"b":{"a":1}}`, ""},
		{`{"a":"` + "\xff" + `"}`, "is not valid UTF-8"},
		{`{"a":1}{}`, "is not one JSON value"},
		{`[]`, "must be a JSON object"},
		{`null`, "must be a JSON object"},
		{`{"a":"\u0000"}`, "holds a NUL character"},
		{`{"a":"\ud834"}`, "holds half a character"},
		{`{"a":"\udd1e\ud834"}`, "holds half a character"},
		{`{"a":1,"\u0061":2}`, "has the same key twice"},
		{`{"a":1,"A":2}`, "has the same key twice"},
		{strings.Repeat(`{"a":`, 5) + `1` + strings.Repeat(`}`, 5), "is nested too deeply"},
	} {
		err := Check("frame", []byte(c.text), 4)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), "The frame "+c.want) || fault.CodeOf(err) != fault.BadRequest) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
}
