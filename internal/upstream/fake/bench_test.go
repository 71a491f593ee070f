package fake

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// BenchmarkToken is the cost of one flushed token over loopback, for 300
// streams at once, the reader's share included.
func BenchmarkToken(b *testing.B) {
	s := listen(b, Options{})
	const streams = 300
	body := fmt.Sprintf(`{"model":"checkable-%d","stream":true,"messages":[{"role":"user","content":"x"}]}`, max(b.N/streams, 1))
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: streams}}
	defer c.CloseIdleConnections()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range streams {
		wg.Go(func() {
			resp, err := c.Post(s.URL+"/chat/completions", "application/json", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}
