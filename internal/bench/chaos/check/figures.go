package check

import (
	"slices"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// Figures are what a run measured. Characters are summed over all viewers.
type Figures struct {
	Faults, Hits, TakenOver, Accepted, Unfinished, Calls, Operations int
	// Needless counts messages with a second call that no fault explains.
	Needless int
	// Stops are the replies that a learner stopped.
	Stops                                                     int
	Attaches, Events, Snapshots, Resets, Restarts, Violations int
	Characters, Lost, Doubled, TakenBack                      int64
	// Takeover is from a kill to the first new character of another attempt;
	// Resume from dialling to caught up; Recover from a service's return to the
	// first event of each conversation that had a reply open, without the time
	// for which the service was away once more before that event.
	Takeover, Resume, Recover Times
	// Accept and Read are answers while a fault lasted; Calm outside of any.
	Accept, Read, Calm Times
	// DrainPeak is how many of a drained node's DrainViewers attached elsewhere
	// within one second, at the drain where that was the largest part; MostTries
	// is how often one viewer connected within ten seconds.
	DrainPeak, DrainViewers, MostTries int
	// Exit is from SIGTERM to the end of the process.
	Exit Times
	// Rerun is from Redis's return to the model being asked again for every
	// pending reply, after everything was killed.
	Rerun Times
}

// Times are sorted durations.
type Times []time.Duration

// Q is the q-quantile by the nearest rank, 0 of none.
func (t Times) Q(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	i := int(q*float64(len(t))+0.999999) - 1
	return t[min(max(i, 0), len(t)-1)]
}

func sorted(t Times) Times { slices.Sort(t); return t }

func (s *state) measure() {
	ws := s.windows()
	f := &s.figures
	s.measureAnswers(ws)
	s.measureResumes()
	for _, w := range ws {
		switch {
		case w.f == "kill":
			f.Takeover = append(f.Takeover, s.takeovers(w)...)
		case strings.HasPrefix(w.f, "term") && w.upto < 1<<62:
			f.Exit = append(f.Exit, time.Duration(w.upto-w.from))
		case strings.HasPrefix(w.f, "redis") && w.upto < 1<<62:
			f.Recover = append(f.Recover, s.recoveries(w, ws)...)
		case w.f == "everything" && w.upto < 1<<62:
			if d, ok := s.rerun(w); ok {
				f.Rerun = append(f.Rerun, d)
			}
		}
	}
	for _, t := range []*Times{&f.Takeover, &f.Exit, &f.Recover, &f.Rerun} {
		*t = sorted(*t)
	}
}

// measureAnswers times submits and reads, apart by whether a fault lasted.
func (s *state) measureAnswers(ws []window) {
	f := &s.figures
	open := map[int64]*history.Record{}
	for i := range s.records {
		r := &s.records[i]
		switch r.K {
		case history.Invoke:
			open[r.ID] = r
		case history.OK:
			in := open[r.ID]
			if in == nil {
				continue
			}
			d := time.Duration(r.T - in.T)
			during := slices.ContainsFunc(ws, func(w window) bool { return w.from <= in.T && r.T <= w.upto && w.upto < 1<<62 })
			switch {
			case !during:
				f.Calm = append(f.Calm, d)
			case in.Op == "submit":
				f.Accept = append(f.Accept, d)
			default:
				f.Read = append(f.Read, d)
			}
		default:
		}
	}
	f.Accept, f.Read, f.Calm = sorted(f.Accept), sorted(f.Read), sorted(f.Calm)
}

// measureResumes times resumes.
func (s *state) measureResumes() {
	f := &s.figures
	opened := map[string]*history.Record{}
	for i := range s.records {
		r := &s.records[i]
		switch {
		case r.K == history.Open && r.Over != "poll":
			opened[r.P] = r
		case r.K == history.Recv && r.Ev == "caught_up":
			if o := opened[r.P]; o != nil && o.Cur != "" {
				f.Resume = append(f.Resume, time.Duration(r.T-o.T))
			}
			delete(opened, r.P)
		case r.K == history.Close:
			delete(opened, r.P)
		}
	}
	f.Resume = sorted(f.Resume)
}

// takeovers finds, for each reply that the killed node wrote, the first new
// text of a later attempt at any viewer.
func (s *state) takeovers(w window) Times {
	attempt := map[convRun]int64{}
	length := map[convRun]int64{}
	done := map[convRun]bool{}
	var out Times
	for i := range s.records {
		r := &s.records[i]
		if !live(r) || r.Run == 0 {
			continue
		}
		if r.T > w.from+int64(time.Minute) {
			break
		}
		key := convRun{r.Conv, r.Run}
		if r.T < w.from {
			attempt[key] = max(attempt[key], r.Attempt)
		}
		if !strings.HasSuffix(r.Ev, ".delta") {
			if r.Ev == "partner.completed" {
				done[key] = true
			}
			continue
		}
		if a, ok := attempt[key]; ok && r.T > w.from && r.Attempt > a && r.At+r.Len > length[key] && !done[key] {
			out = append(out, time.Duration(r.T-w.from))
			done[key] = true
		}
		length[key] = max(length[key], r.At+r.Len)
	}
	return out
}

// recoveries finds, for each conversation whose reply was open when a service
// came back, the first event after that. Later faults may come before it; the
// service is then waited for again, and that time is not counted.
func (s *state) recoveries(w window, ws []window) Times {
	waits := map[string]bool{}
	for i := range s.records {
		r := &s.records[i]
		if r.K == history.Up && r.T0 <= w.from && r.Ended >= w.upto+int64(200*time.Millisecond) {
			if m := s.messages[r.CID]; m != nil {
				waits[m.conv] = true
			}
		}
	}
	var out Times
	for i := range s.records {
		r := &s.records[i]
		if live(r) && r.T > w.upto && waits[r.Conv] && (r.Ev == "snapshot" || strings.HasSuffix(r.Ev, ".delta")) {
			delete(waits, r.Conv)
			out = append(out, time.Duration(r.T-w.upto-away(ws, w.upto, r.T)))
		}
	}
	return out
}

// away is for how long faults lasted between two moments.
func away(ws []window, from, upto int64) int64 {
	var sum int64
	for _, w := range ws {
		sum += max(0, min(w.upto, upto)-max(w.from, from))
	}
	return sum
}

// rerun is how long after the end of a fault the model was asked for the last
// of the replies that were pending.
func (s *state) rerun(w window) (time.Duration, bool) {
	pending := map[string]bool{}
	for i := range s.records {
		if r := &s.records[i]; r.K == history.Up && r.T0 <= w.from && r.Ended >= w.from && r.End != "complete" {
			pending[r.CID] = true
		}
	}
	last, n := int64(0), len(pending)
	first := map[string]int64{}
	for i := range s.records {
		r := &s.records[i]
		if r.K == history.Up && pending[r.CID] && r.T0 > w.from && (first[r.CID] == 0 || r.T0 < first[r.CID]) {
			first[r.CID] = r.T0
		}
	}
	for _, t := range first {
		last = max(last, t)
	}
	return time.Duration(max(0, last-w.upto)), n > 0 && len(first) == n
}
