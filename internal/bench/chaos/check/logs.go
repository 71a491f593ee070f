package check

import (
	"strings"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// place is a number of a log.
type place struct {
	conv, epoch string
	seq         int64
}

// content is what stands there. Deltas are merged for delivery, so of a delta
// only where it ends is the same for everybody; its text is checked against
// the model's.
type content struct {
	kind               string
	run, attempt, base int64
	end                int64
	hash               string
	no                 int64
}

// logs is V9: one number of one log names one content, for every viewer, on
// every node, at every time.
func (s *state) logs() {
	at := map[place]content{}
	type begin struct {
		place
		r *history.Record
	}
	var begins []begin
	attempts := map[convRun]*history.Record{} // of the log that is read afterwards
	for i := range s.records {
		r := &s.records[i]
		if r.K != history.Recv || r.Seq == 0 || r.Ev == "snapshot" {
			continue
		}
		if r.P == "log" && r.Run > 0 && r.Ev != "partner.stopping" {
			key := convRun{r.Conv, r.Run}
			if had := attempts[key]; had != nil && had.Epoch == r.Epoch && had.Attempt > r.Attempt {
				s.breach("V14", r, "attempt %d of run %d stands in the log of %s behind attempt %d", r.Attempt, r.Run, r.Conv, had.Attempt)
			}
			attempts[key] = r
		}
		c := content{kind: r.Ev, run: r.Run, attempt: r.Attempt, base: r.Base, hash: r.H, no: r.No}
		if strings.HasSuffix(r.Ev, ".delta") {
			c.hash, c.end = "", r.At+r.Len
			if r.From > 1 {
				begins = append(begins, begin{place{r.Conv, r.Epoch, r.From - 1}, r})
			}
		}
		key := place{r.Conv, r.Epoch, r.Seq}
		had, ok := at[key]
		no := had.no
		had.no = c.no
		switch {
		case !ok:
			at[key] = c
		case had != c:
			s.breach("V9", r, "%s.%d of %s is %s of run %d to %d, at line %d it was %s of run %d to %d",
				r.Epoch, r.Seq, r.Conv, c.kind, c.run, c.end, no, had.kind, had.run, had.end)
		}
	}
	for _, b := range begins {
		had, ok := at[b.place]
		if ok && strings.HasSuffix(had.kind, ".delta") && had.run == b.r.Run && had.base == b.r.Base && had.end != b.r.At {
			s.breach("V9", b.r, "%s.%d of %s ends at %d, what follows begins at %d", b.epoch, b.seq, b.conv, had.end, b.r.At)
		}
	}
}
