package resp_test

import (
	"bufio"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/bench/resp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRepliesOfRedis(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		wire string
		want any
		ok   bool
	}{
		{"+OK\r\n", "OK", true},
		{":42\r\n", int64(42), true},
		{"$5\r\na\r\nbc\r\n", "a\r\nbc", true},
		{"$0\r\n\r\n", "", true},
		{"$-1\r\n", nil, true},
		{"*2\r\n$1\r\n0\r\n*1\r\n:1\r\n", []any{"0", []any{int64(1)}}, true},
		{"-ERR no\r\n", nil, false},
		{"$9\r\nshort\r\n", nil, false},
		{"$-2\r\n", nil, false},
		{"$99999999999\r\n", nil, false},
		{":x\r\n", nil, false},
		{"!\r\n", nil, false},
		{"\r\n", nil, false},
		{"", nil, false},
	} {
		got, err := resp.Read(bufio.NewReader(strings.NewReader(tc.wire)))
		if (err == nil) != tc.ok || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q reads as %v, %v", tc.wire, got, err)
		}
	}
}
