package check

import (
	"slices"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

const (
	// tryWindow and mostTries bound how often one viewer connects. The pause
	// between two tries is drawn up to 20 ms and doubles up to 640 ms while
	// connections do not last, so that ten seconds have about 36 tries, give or
	// take 4. One that does not wait makes thousands.
	tryWindow = int64(10 * time.Second)
	mostTries = 60
	// crowded is how many viewers more than twice the mean may come within one
	// second of a drain: clocks tick every half second, and streams and sockets
	// have times of their own.
	crowded = 5
)

// storms checks that lost viewers do not come back all at once: V30 after a
// drain, V31 one viewer's tries whatever the fault.
func (s *state) storms() {
	s.tries()
	if s.rules.SpreadMS <= 0 {
		return
	}
	for _, w := range s.windows() {
		if strings.HasPrefix(w.f, "term") {
			s.drained(w)
		}
	}
	if s.figures.DrainViewers == 0 {
		s.breach("M3", nil, "no node that was drained had viewers")
	}
}

// tries is V31.
func (s *state) tries() {
	ended := map[string][]int64{}
	told := map[string]bool{}
	for i := range s.records {
		r := &s.records[i]
		if r.K != history.Close {
			continue
		}
		list := append(ended[r.P], r.T)
		for list[0] < r.T-tryWindow {
			list = list[1:]
		}
		ended[r.P] = list
		s.figures.MostTries = max(s.figures.MostTries, len(list))
		if len(list) > mostTries && !told[r.P] {
			told[r.P] = true
			s.breach("V31", r, "connected %d times within 10 s", len(list))
		}
	}
}

// drained is V30 for one node's drain: of its viewers on sockets and streams,
// the server has to send equal parts away in each second of the spread. Polls
// are not counted, they end all the time.
func (s *state) drained(w window) {
	here := map[string]bool{} // and not gone
	away := map[string]bool{} // gone and not back
	var back []int64
	for i := range s.records {
		r := &s.records[i]
		switch {
		case r.T < w.from && r.K == history.Open:
			here[r.P] = r.N == w.node && r.Over != "poll"
		case r.T < w.from && r.K == history.Close:
			here[r.P] = false
		case r.K == history.Close && here[r.P]:
			here[r.P], away[r.P] = false, true
		case r.K == history.Open && away[r.P]:
			away[r.P] = false
			back = append(back, r.T)
		}
	}
	n := len(back)
	for _, still := range [2]map[string]bool{here, away} {
		for _, yes := range still {
			if yes {
				n++
			}
		}
	}
	slices.Sort(back)
	peak := 0
	for i, first := 0, 0; i < len(back); i++ {
		for back[i]-back[first] >= int64(time.Second) {
			first++
		}
		peak = max(peak, i-first+1)
	}
	may := int(2*int64(n)*1000/s.rules.SpreadMS) + crowded
	if s.rules.Busy { // a machine that stood still for seconds has no even pace
		may = max(may, n/2+crowded)
	}
	if peak > may {
		s.breach("V30", w.r, "%d of %d viewers of %s came back within one second of its drain, %d may", peak, n, w.node, may)
	}
	if n > 0 && peak*s.figures.DrainViewers >= s.figures.DrainPeak*n {
		s.figures.DrainPeak, s.figures.DrainViewers = peak, n
	}
}
