package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

const transcript = Prefix + "/conversations/" + annsID + "/transcript"

// exported reads a transcript in both forms, which must agree.
func (f *fixture) exported(t *testing.T, path string) []conversation.Turn {
	t.Helper()
	w := f.call(t, "GET", path, "", ann)
	var all []conversation.Turn
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || all == nil {
		t.Fatalf("%s: %d %v %.200s", path, w.Code, err, w.Body)
	}
	w = f.call(t, "GET", path, "", ann, "Accept: application/x-ndjson")
	if ct := w.Header().Get("Content-Type"); ct != mediaNDJSON {
		t.Errorf("content type %q", ct)
	}
	var lines []conversation.Turn
	for sc := bufio.NewScanner(w.Body); sc.Scan(); {
		var turn conversation.Turn
		if err := json.Unmarshal(sc.Bytes(), &turn); err != nil {
			t.Fatalf("line %q: %v", sc.Text(), err)
		}
		lines = append(lines, turn)
	}
	if !slices.Equal(all, lines) {
		t.Fatalf("%s: %d in the array, %d lines", path, len(all), len(lines))
	}
	return all
}

func TestTranscript(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", "?branch=", "?branch=0", "?branch=all"} {
		for _, stored := range []int64{0, 1, exportPage - 1, exportPage, exportPage + 1, 3*exportPage + 7} {
			f := newFixture(t, nil)
			f.convs.stored = stored
			all := f.exported(t, transcript+query)
			if int64(len(all)) != stored {
				t.Fatalf("%q, %d turns: %d came", query, stored, len(all))
			}
			for i := range all {
				if all[i].N != int64(i+1) || !strings.Contains(all[i].Text, `"<hi>"`) {
					t.Fatalf("%q, turn %d: %+v", query, i, all[i])
				}
			}
		}
	}
}

func TestTranscriptOfABranch(t *testing.T) {
	t.Parallel()
	for _, stored := range []int64{0, 1, 3, 2 * exportPage, 2*exportPage + 1, 5 * exportPage} {
		f := newFixture(t, nil)
		f.convs.stored = stored
		want, err := f.convs.Path(t.Context(), "ann", annsID, 2)
		if err != nil {
			t.Fatal(err)
		}
		got := f.exported(t, transcript+"?branch=2")
		var ns []int64
		for _, turn := range got {
			ns = append(ns, turn.N)
		}
		if !slices.Equal(ns, want) {
			t.Errorf("%d turns: got %v, want %v", stored, ns, want)
		}
	}
}

func TestExportsRefuseBranches(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.convs.stored = 5
	wantProblem(t, f.call(t, "GET", transcript+"?branch=3", "", ann), fault.NotFound)
	wantProblem(t, f.call(t, "GET", Prefix+"/conversations/"+bensID+"/transcript?branch=2", "", ann), fault.NotFound)
	refused := []string{Prefix + "/transcripts?branch=2", Prefix + "/transcripts?branch=ALL"}
	for _, bad := range []string{"x", "-1", "2.1", "1e1", "%2B2", "0x2", "All", "9223372036854775808", "2%00"} {
		refused = append(refused, transcript+"?branch="+bad)
	}
	for _, path := range refused {
		w := f.call(t, "GET", path, "", ann)
		wantProblem(t, w, fault.Invalid)
		if w.Code != 422 || !strings.Contains(w.Body.String(), `"field":"query.branch"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestTranscriptsOfAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.convs.stored, f.convs.pages = 2, 3
	w := f.call(t, "GET", Prefix+"/transcripts", "", ann)
	var rows []struct {
		Conversation *conversationItem
		Message      *conversation.Turn
	}
	if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil || w.Code != 200 || strings.Contains(w.Body.String(), "SECRETGOAL") {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	for _, query := range []string{"?branch=", "?branch=all"} {
		if other := f.call(t, "GET", Prefix+"/transcripts"+query, "", ann); other.Body.String() != w.Body.String() {
			t.Errorf("%s: %d %s", query, other.Code, other.Body)
		}
	}
	if len(rows) != 9 || rows[0].Conversation.ScenarioID != "s" || rows[1].Message.N != 1 || rows[2].Message.N != 2 || rows[3].Conversation == nil {
		t.Fatalf("got %+v", rows)
	}
}

func TestExportsRefuse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.convs.stored, f.convs.breakAt = 5, 0
	wantProblem(t, f.call(t, "GET", transcript, ""), fault.Unauthenticated)
	wantProblem(t, f.call(t, "GET", Prefix+"/transcripts", ""), fault.Unauthenticated)
	wantProblem(t, f.call(t, "GET", Prefix+"/conversations/"+bensID+"/transcript", "", ann), fault.NotFound)
	wantProblem(t, f.call(t, "GET", Prefix+"/conversations/x/transcript", "", ann), fault.NotFound)
}

// An error in the middle must not look like the end, in neither form.
func TestExportIsCutNotEnded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.convs.stored, f.convs.breakAt = 5*exportPage, 2*exportPage
	srv := httptest.NewUnstartedServer(f)
	srv.Config = HTTPServer(f, f.log)
	srv.Start()
	defer srv.Close()
	for _, accept := range []string{"application/json", mediaNDJSON} {
		for _, path := range []string{transcript, transcript + "?branch=all", Prefix + "/transcripts"} {
			got, err := fetch(t, srv, path, accept)
			if err == nil || len(got) == 0 || bytes.HasSuffix(bytes.TrimSpace(got), []byte("]")) || bytes.Contains(got, []byte("10.0.0.7")) {
				t.Errorf("%s as %s: %d bytes, %v", path, accept, len(got), err)
			}
		}
	}
}

func fetch(t *testing.T, srv *httptest.Server, path, accept string) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer tok-ann")
	req.Header.Set("Accept", accept)
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return io.ReadAll(res.Body)
}

// A transcript of 100 MB passes through a few pages of memory.
func TestExportMemoryIsBounded(t *testing.T) {
	f := newFixture(t, nil)
	f.convs.stored, f.convs.size = 13_000, 8<<10
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, transcript, nil)
	r.Header.Set("Authorization", "Bearer tok-ann")
	w := &peakWriter{header: http.Header{}}
	f.ServeHTTP(w, r)
	if w.bytes < 100<<20 || w.peak > 64<<20 {
		t.Errorf("%d MB were written, the heap grew by %d MB", w.bytes>>20, w.peak>>20)
	}
}

// peakWriter throws away and looks at the heap now and then.
type peakWriter struct {
	header      http.Header
	bytes       int64
	writes      int
	first, peak uint64
}

func (w *peakWriter) Header() http.Header { return w.header }
func (w *peakWriter) WriteHeader(int)     {}
func (w *peakWriter) Flush()              {}
func (w *peakWriter) Write(p []byte) (int, error) {
	w.bytes += int64(len(p))
	if w.writes++; w.writes%10 == 1 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if w.first == 0 {
			w.first = m.HeapAlloc
		} else if m.HeapAlloc > w.first {
			w.peak = max(w.peak, m.HeapAlloc-w.first)
		}
	}
	return len(p), nil
}
