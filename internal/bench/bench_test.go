package bench

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuantile(t *testing.T) {
	t.Parallel()
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, tc := range []struct {
		values []int
		q      float64
		want   int
		ok     bool
	}{
		{nil, 0.5, 0, false},
		{[]int{7}, 0.99, 7, true},
		{[]int{1, 2}, 0.5, 1, true},
		{hundred, 0.5, 50, true},
		{hundred, 0.99, 99, true},
		{hundred, 1, 100, true},
		{hundred, 0, 1, true},
	} {
		if got, ok := Quantile(tc.values, tc.q); got != tc.want || ok != tc.ok {
			t.Errorf("quantile %v of %d values: %d %v, want %d %v", tc.q, len(tc.values), got, ok, tc.want, tc.ok)
		}
	}
}

func TestMedianAndSpread(t *testing.T) {
	t.Parallel()
	v := []float64{9, 1, 4, 2}
	if m := Median(v); m != 3 {
		t.Errorf("median %v", m)
	}
	if m := Median(v[:3]); m != 4 {
		t.Errorf("median of three %v", m)
	}
	if low, high := Spread(v); low != 1 || high != 9 {
		t.Errorf("spread %v %v", low, high)
	}
	if Median(nil) != 0 {
		t.Error("median of nothing")
	}
}

func TestProcessState(t *testing.T) {
	t.Parallel()
	got, err := parseStat([]byte("42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 123 77 0 0 20 0"))
	if err != nil || math.Abs(got-2.0) > 1e-9 {
		t.Errorf("cpu %v %v, want 2 s", got, err)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) S 1 2", "42 (a) S 1 42 42 0 -1 4194560 1 0 0 0 x 77"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	rss, err := parseRSS("Name:\tx\nVmRSS:\t  1234 kB\nThreads: 3\n")
	if err != nil || rss != 1234<<10 {
		t.Errorf("rss %d %v", rss, err)
	}
	if _, err := parseRSS("Name: x\n"); err == nil {
		t.Error("a missing line was read")
	}
	if got := metric("a_b 1\ngo_x 1.5e+06\n", "go_x"); got != 1_500_000 {
		t.Errorf("metric %d", got)
	}
}

func stampedText(at int64, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%016d.%d ", at, i)
	}
	return b.String()
}

func TestStampsAreReadHoweverTextIsCut(t *testing.T) {
	t.Parallel()
	const now = 1780000000000000
	text := stampedText(now-2500, 0, 30)
	for size := 1; size < 40; size++ {
		var delays []time.Duration
		s := stamps{record: func(d time.Duration) { delays = append(delays, d) }}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			s.feed([]byte(rest[:n]), now)
			rest = rest[n:]
		}
		if len(delays) != 30 || s.lost+s.doubled+s.broken != 0 || s.next != 30 {
			t.Fatalf("pieces of %d: %d tokens, %+v", size, len(delays), s)
		}
		for _, d := range delays {
			if d != 2500*time.Microsecond {
				t.Fatalf("delay %s", d)
			}
		}
	}
}

func TestStampsCountWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                  string
		text                  string
		lost, doubled, broken bool
	}{
		{"whole", stampedText(1, 0, 3), false, false, false},
		{"a hole", stampedText(1, 0, 3) + stampedText(1, 5, 6), true, false, false},
		{"the start is missing", stampedText(1, 1, 2), true, false, false},
		{"twice", stampedText(1, 0, 3) + stampedText(1, 2, 3), false, true, false},
		{"other text", "Hello there", false, false, true},
	} {
		var s stamps
		s.feed([]byte(tc.text), 1)
		if (s.lost > 0) != tc.lost || (s.doubled > 0) != tc.doubled || (s.broken > 0) != tc.broken {
			t.Errorf("%s: %+v", tc.name, s)
		}
	}
}

func TestFramesAreReadWithoutDecoding(t *testing.T) {
	t.Parallel()
	n := 0
	s := stamps{record: func(time.Duration) { n++ }}
	ev := func(kind, data string) string {
		return `{"v":1,"seq":5,"cur":"1.n.5","type":"partner` + kind + `","run":2,"attempt":1,"base":1,"ts":1,"data":` + data + `}`
	}
	frame := `{"t":"ev","c":"x","e":[` + strings.Join([]string{
		ev(".started", `{"message_id":"m","parent":1}`),
		ev(".delta", `{"at":0,"text":"`+stampedText(1, 0, 3)+`"}`),
		ev(".delta", `{"at":60,"text":"`+stampedText(1, 3, 4)+`"}`),
		ev(".completed", `{"message_id":"m","text":"`+stampedText(1, 0, 4)+`"}`),
	}, ",") + `]}`
	s.feedFrame([]byte(frame), 2)
	if n != 4 || s.next != 4 || s.lost+s.doubled+s.broken != 0 {
		t.Errorf("%d tokens, %+v", n, s)
	}
}

func TestTheDirectPathReadsTheStandIn(t *testing.T) {
	t.Parallel()
	up, err := fake.Listen(fake.Options{TokenDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Close() }()
	var g gauge
	g.open.Store(true)
	d := openDirect(up.URL, "stamped-40", &g)
	defer d.close()
	for range 2 {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		if err := <-d.done(); err != nil {
			t.Fatal(err)
		}
		if s := d.seen().stamps; s.next != 40 || s.lost+s.doubled+s.broken != 0 {
			t.Errorf("%+v", s)
		}
	}
	if g.tokens.Load() != 80 || len(d.delays) != 80 {
		t.Fatalf("%d tokens, %d delays", g.tokens.Load(), len(d.delays))
	}
	for _, delay := range d.delays {
		if delay < 0 || delay > 5*time.Second {
			t.Errorf("a delay of %s", delay)
		}
	}
}

func TestReportsAreTables(t *testing.T) {
	t.Parallel()
	cpu := map[string]float64{"process": 2, "redis": 1, "postgres": 1, "machine": 5}
	rounds := []Round{
		{Path: PathDirect, P50: time.Millisecond, P99: 2 * time.Millisecond, Tokens: 1000, Window: time.Second, CPU: map[string]float64{}},
		{Path: PathRelay, P50: 2 * time.Millisecond, P99: 4 * time.Millisecond, Tokens: 1_000_000, Window: time.Second, CPU: map[string]float64{"process": 1}},
		{Path: PathServer, P50: 3 * time.Millisecond, P99: 9 * time.Millisecond, Tokens: 1_000_000, Window: time.Second, CPU: cpu, Lost: 3},
	}
	var b strings.Builder
	WriteRelay(&b, rounds, RelayOptions{Learners: 2, Rate: 30, Window: time.Second, Rounds: 1}, &Conditions{Redis: "7", Postgres: "15"})
	for _, want := range []string{"| server | 3.00 ms | 9.0 ms | 2.00 ms | 7.0 ms | 2 | 4 | 1000000 | 3, 0 | 100 |", "Server alone ÷ bare relay: 2.00; server, Redis and Postgres ÷ bare relay: 4.00"} {
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "%!") {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	b.Reset()
	WriteKill(&b, &Kills{Waits: []time.Duration{time.Second, 3 * time.Second}, TakenBack: 7}, &Conditions{})
	if !strings.Contains(b.String(), "| 2 | 1.00 s | 3.00 s | 3.00 s | 0 | 0 | 7 | 0 |") {
		t.Error(b.String())
	}
	b.Reset()
	WriteIdle(&b, []Idle{{Transport: "SSE", Connections: 10, Before: Memory{RSS: 1 << 20}, After: Memory{RSS: 2 << 20, Heap: 10240}}}, &Conditions{})
	if !strings.Contains(b.String(), "| 10 SSE | 1.0 MiB | 2.0 MiB | 102.4 KiB | 1.0 KiB | 0.0 KiB |") {
		t.Error(b.String())
	}
}

func TestReportsOfViewersAreTables(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	WriteResume(&b, &Resumes{Waits: []time.Duration{time.Millisecond, 3 * time.Millisecond}, Snapshots: 1, Lost: 2}, ResumeOptions{Learners: 1, Tokens: 60, Cuts: 2, Rate: 30}, &Conditions{})
	WriteObservers(&b, &Observed{Observers: 4, P50: time.Millisecond, P99: 2 * time.Millisecond, Max: 3 * time.Millisecond, Doubled: 1}, 30, &Conditions{})
	WriteSlow(&b, &Slow{Viewers: 2, Passed: 6e6, Read: 1e4, Cuts: 3, Alone: 1 << 20, With: 3 << 20,
		Calm: &Observed{P99: time.Millisecond}, Beside: &Observed{P50: time.Millisecond, P99: 2 * time.Millisecond, Max: 4 * time.Millisecond, Lost: 5}}, &Conditions{})
	r := func(path string, n float64) Round {
		return Round{Path: path, P50: time.Millisecond, P99: 2 * time.Millisecond, Tokens: 1_000_000, Window: time.Second,
			CPU: map[string]float64{"process": n, "redis": n, "machine": 2 * n}}
	}
	WriteScale(&b, map[int][]Round{10: {r(PathRelay, 1), r(PathServer, 2)}}, []int{10}, RelayOptions{Rate: 30, Window: time.Second, Rounds: 1, Nodes: 2}, &Conditions{})
	for _, want := range []string{
		"| 2 | 1.0 ms | 3.0 ms | 3.0 ms | 1 | 2, 0 |", "| 4 | 30 | 1.00 ms | 2.0 ms | 3.0 ms | 0, 1 |",
		"| 2 | 6.0 MB | 0.01 MB | 3 times | 1.0 MiB | 3.0 MiB | 2.0 MiB |", "the server on 2 nodes", "| without slow viewers | 0.00 ms | 1.0 ms | 0.0 ms | 0, 0 |", "| beside them | 1.00 ms | 2.0 ms | 4.0 ms | 5, 0 |",
		"| 10 | bare relay | 1.00 ms | 2.0 ms | 1 | 1000000 | 0, 0 | 0 |", "| 10 | server | 1.00 ms | 2.0 ms | 4 | 1000000 | 0, 0 | 0 |",
	} {
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "%!") {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestTheReportOfMemoryIsATable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	WriteMemory(&b, []Footprint{
		{State: "at rest, just ended", Conversations: 2, Kinds: map[string]int64{"m": 2 << 10, "l": 20 << 10, "t": 4 << 10, "h": 2 << 10, "visits": 1 << 10}, Entries: 30, Used: 40 << 10},
		{State: "live", Conversations: 4, Kinds: map[string]int64{"l": 8 << 10, "p": 4 << 10, "events": 4 << 10}, Entries: 8, Used: 2 << 10},
	}, MemoryOptions{Rate: 30}, &Conditions{Redis: "7", Postgres: "15"})
	for _, want := range []string{
		"| 2 at rest, just ended | 14.0 KiB | 20.0 KiB | 0.5 KiB | 0.0 KiB | 15 |", "| 4 live | 3.0 KiB | 0.5 KiB | 0.0 KiB | 1.0 KiB | 2 |",
		"| at rest, just ended | 1.00 | 10.00 | 0.00 | 2.00 | 1.00 |", "| live | 0.00 | 2.00 | 1.00 | 0.00 | 0.00 |", "Redis 7 (no persistence)",
	} {
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "%!") {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
