package fake

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var stampedPiece = regexp.MustCompile(`"content":"(\d{16})\.(\d+) "`)

func TestStampedTokensSayWhenTheyWereSent(t *testing.T) {
	t.Parallel()
	s, err := Listen(Options{TokenDelay: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	before := time.Now().UnixMicro()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/chat/completions",
		strings.NewReader(`{"model":"stamped-20","stream":true,"messages":[{"role":"user","content":"go"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(body, []byte(`"finish_reason":"stop"`)) {
		t.Fatalf("%v\n%s", err, body)
	}
	after := time.Now().UnixMicro()
	got := stampedPiece.FindAllSubmatch(body, -1)
	if len(got) != 20 {
		t.Fatalf("%d tokens\n%s", len(got), body)
	}
	last := before
	for i, m := range got {
		at, _ := strconv.ParseInt(string(m[1]), 10, 64)
		if string(m[2]) != strconv.Itoa(i) || at < last || at > after {
			t.Errorf("token %d: %s, after %d, before %d", i, m[0], last, after)
		}
		last = at
	}
	if last == before {
		t.Error("all tokens have one time")
	}
}
