package check

import (
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
)

// screen is what one viewer shows of one conversation, built from what it was
// sent, as docs/protocol.md says a client must.
type screen struct {
	s     *state
	conv  string
	epoch string
	last  int64
	runs  map[int64]*shown
	// opened is when the present attach began; reset says that a snapshot is due.
	opened int64
	reset  bool
	// fresh is set until the present attach brought its first event.
	fresh bool
	// asked is the cursor of the present attach.
	asked string
}

// shown is one run on a screen.
type shown struct {
	attempt, base int64
	text          string
	ended         string
	// ahead: our text is longer than the server's last picture of it.
	ahead bool
}

// viewers rebuilds every screen: V8, V10 to V15, and V20 within a viewer.
func (s *state) viewers() {
	screens := map[[2]string]*screen{}
	for i := range s.records {
		r := &s.records[i]
		if r.K != history.Open && !live(r) && r.K != history.Show {
			continue
		}
		key := [2]string{r.P, r.Conv}
		sc := screens[key]
		if sc == nil {
			sc = &screen{s: s, conv: r.Conv, runs: map[int64]*shown{}}
			screens[key] = sc
		}
		switch r.K {
		case history.Open:
			sc.opened, sc.reset, sc.fresh, sc.asked = r.T, false, true, r.Cur
			s.figures.Attaches++
			if have := sc.cursor(); r.Cur != have {
				s.breach("M5", r, "attached with cursor %q, its screen stands at %q", r.Cur, have)
			}
		case history.Show:
			sc.judgeEnd(r)
		default:
			sc.take(r)
		}
	}
}

// live says that a viewer was sent this as it happened; "log" is the reader who
// looks through whole logs afterwards.
func live(r *history.Record) bool { return r.K == history.Recv && r.P != "log" }

func (sc *screen) cursor() string {
	if sc.epoch == "" {
		return ""
	}
	return sc.epoch + "." + strconv.FormatInt(sc.last, 10)
}

func (sc *screen) take(r *history.Record) {
	switch r.Ev {
	case "reset":
		sc.reset = true
		sc.s.figures.Resets++
	case "snapshot":
		sc.snapshot(r)
	case "caught_up", "error":
	default:
		sc.event(r)
	}
}

// counter is the part of an epoch that only grows.
func counter(epoch string) int64 {
	c, _, _ := strings.Cut(epoch, ".")
	n, _ := strconv.ParseInt(c, 10, 64) // an unreadable one counts as 0 and shows as going back
	return n
}

func (sc *screen) event(r *history.Record) {
	s := sc.s
	s.figures.Events++
	if sc.reset {
		s.breach("V15", r, "%s between reset and snapshot", r.Ev)
	}
	if sc.epoch != "" && r.Epoch != sc.epoch {
		s.breach("V10", r, "epoch went from %s to %s without a snapshot", sc.epoch, r.Epoch)
		return
	}
	from := r.From
	if from == 0 {
		from = r.Seq
	}
	switch {
	case r.Seq <= sc.last:
		s.breach("V8", r, "%d came again, the screen stands at %d", r.Seq, sc.last)
		s.figures.Doubled += r.Len
		return
	case from > sc.last+1:
		s.breach("V8", r, "%d..%d came, the screen stands at %d", from, r.Seq, sc.last)
	case from <= sc.last && !sc.fresh:
		s.breach("V15", r, "%d..%d overlaps with %d in mid-attach", from, r.Seq, sc.last)
	}
	overlap := from <= sc.last
	sc.last, sc.epoch, sc.fresh = r.Seq, r.Epoch, false
	if r.Run == 0 {
		return
	}
	if _, verb, ok := strings.Cut(r.Ev, "."); ok && (strings.HasPrefix(r.Ev, "partner.") || strings.HasPrefix(r.Ev, "scenario.")) {
		sc.run(r, verb, overlap)
	}
}

func (sc *screen) run(r *history.Record, verb string, overlap bool) {
	s := sc.s
	sh := sc.runs[r.Run]
	if sh == nil {
		sh = &shown{attempt: r.Attempt, base: r.Base}
		sc.runs[r.Run] = sh
	}
	if sh.ended != "" {
		rule := "V12"
		if verb == "completed" || verb == "stopped" || verb == "failed" {
			rule = "V19"
		}
		s.breach(rule, r, "%s of run %d after it %s", verb, r.Run, sh.ended)
		return
	}
	if r.Attempt < sh.attempt && verb != "stopping" {
		s.breach("V14", r, "attempt %d of run %d after attempt %d", r.Attempt, r.Run, sh.attempt)
	}
	sh.attempt = max(sh.attempt, r.Attempt)
	sc.rebase(r, sh, r.Base, verb == "restarted")
	switch verb {
	case "delta":
		sc.delta(r, sh, overlap)
	case "completed", "stopped", "failed":
		sc.end(r, sh, verb, r.Txt)
	}
}

// rebase empties the screen where a run's text begins anew.
func (sc *screen) rebase(r *history.Record, sh *shown, base int64, announced bool) {
	s := sc.s
	switch {
	case base < sh.base:
		s.breach("V13", r, "run %d goes back from base %d to %d", r.Run, sh.base, base)
	case base > sh.base:
		if len(sh.text) > 0 {
			s.figures.Restarts++
			if !announced {
				s.breach("V13", r, "%d characters of run %d are taken back without a word", len(sh.text), r.Run)
			}
			if !s.rules.MayRestart && (!s.rules.Busy || !announced) {
				s.breach("V13", r, "%d characters of run %d are taken back", len(sh.text), r.Run)
				s.figures.TakenBack += int64(len(sh.text))
			}
		}
		sh.base, sh.text, sh.ahead = base, "", false
	}
}

func (sc *screen) delta(r *history.Record, sh *shown, overlap bool) {
	s := sc.s
	have := int64(len(sh.text))
	if r.At > have {
		s.breach("V11", r, "text of run %d at %d, %d are shown", r.Run, r.At, have)
		s.figures.Lost += r.At - have
		return
	}
	if over := min(have-r.At, int64(len(r.Txt))); over > 0 {
		if !overlap && !sh.ahead {
			s.breach("V11", r, "%d characters of run %d came twice at %d", over, r.Run, r.At)
			s.figures.Doubled += over
		}
		if sh.text[r.At:r.At+over] != r.Txt[:over] {
			s.breach("V11", r, "text of run %d at %d differs from what is shown", r.Run, r.At)
			s.figures.TakenBack += over
		}
		if over == int64(len(r.Txt)) {
			return
		}
		sh.text += r.Txt[over:]
	} else {
		sh.text += r.Txt
	}
	sh.ahead = false
	s.figures.Characters += int64(len(sh.text)) - have
	sc.known(r, sh.text)
}

// known compares with the text that the model must have written.
func (sc *screen) known(r *history.Record, text string) {
	m := sc.s.byRun[convRun{sc.conv, r.Run}]
	if m != nil && !strings.HasPrefix(m.want(), text) {
		sc.s.breach("V11", r, "run %d shows text that the model did not write for %s", r.Run, m.cid)
	}
}

func (sc *screen) end(r *history.Record, sh *shown, verb, text string) {
	s := sc.s
	if !strings.HasPrefix(text, sh.text) {
		s.breach("V13", r, "run %d %s with %d characters, %d others were shown", r.Run, verb, len(text), len(sh.text))
		s.figures.TakenBack += int64(len(sh.text))
	}
	sh.text, sh.ended = text, verb
	sc.known(r, text)
	s.ended(r, sc.conv, r.Run, ending{t: r.T, verb: verb, hash: history.Hash(text), finish: r.Finish, turn: r.Turn})
}

func (sc *screen) snapshot(r *history.Record) {
	s := sc.s
	s.figures.Snapshots++
	if sc.epoch != "" && counter(r.Epoch) < counter(sc.epoch) {
		s.breach("V10", r, "epoch went back from %s to %s", sc.epoch, r.Epoch)
	}
	if sc.epoch != "" && !sc.reset && sc.asked != "" {
		s.breach("V15", r, "a snapshot without a reset for cursor %q", sc.asked)
	}
	newer := r.Epoch == sc.epoch && r.Seq >= sc.last
	sc.reset, sc.fresh, sc.last, sc.epoch = false, false, r.Seq, r.Epoch
	for _, t := range r.Turns {
		if t.Author == "partner" && t.Run > 0 {
			sc.turn(r, t)
		}
	}
	o := r.Reply
	for no, sh := range sc.runs {
		if sh.ended == "" && (o == nil || o.Run != no) {
			// Its writer has not yet brought it into the new log; it comes again.
			sh.ahead = sh.text != ""
		}
	}
	if o == nil {
		return
	}
	sh := sc.runs[o.Run]
	if sh == nil {
		sh = &shown{base: o.Base}
		sc.runs[o.Run] = sh
	}
	at := *r
	at.Run = o.Run
	if sh.ended != "" {
		s.breach("V12", &at, "run %d is open again after it %s", o.Run, sh.ended)
		return
	}
	if o.Attempt < sh.attempt && newer {
		s.breach("V14", &at, "attempt %d of run %d after attempt %d", o.Attempt, o.Run, sh.attempt)
	}
	sh.attempt = max(sh.attempt, o.Attempt)
	sc.rebase(&at, sh, o.Base, true)
	switch {
	case o.Base < sh.base:
	case strings.HasPrefix(o.Txt, sh.text):
		s.figures.Characters += int64(len(o.Txt) - len(sh.text))
		sh.text, sh.ahead = o.Txt, false
	case strings.HasPrefix(sh.text, o.Txt):
		if newer {
			s.breach("V13", &at, "run %d shrinks from %d to %d characters", o.Run, len(sh.text), len(o.Txt))
		}
		sh.ahead = true
	default:
		s.breach("V13", &at, "run %d shows other text than before", o.Run)
		s.figures.TakenBack += int64(len(sh.text))
	}
	sc.known(&at, o.Txt)
}

// turn takes a finished reply of a snapshot.
func (sc *screen) turn(r *history.Record, t history.Turn) {
	s := sc.s
	sh := sc.runs[t.Run]
	if sh == nil {
		sh = &shown{}
		sc.runs[t.Run] = sh
	}
	if m := s.byRun[convRun{sc.conv, t.Run}]; m != nil {
		want := m.want()
		if len(want) >= int(t.Len) && history.Hash(want[:t.Len]) == t.H {
			if sh.ended == "" && !strings.HasPrefix(want[:t.Len], sh.text) {
				s.breach("V13", r, "the turn of run %d has %d characters, %d are shown", t.Run, t.Len, len(sh.text))
				s.figures.TakenBack += int64(len(sh.text))
			}
			sh.text = want[:t.Len]
		} else {
			s.breach("V18", r, "the turn of run %d is not what the model wrote for %s", t.Run, m.cid)
		}
	}
	verb := "completed"
	if t.Finish == "stopped" || t.Finish == "failed" {
		verb = t.Finish
	}
	sh.ended, sh.ahead = verb, false
	s.ended(r, sc.conv, t.Run, ending{t: r.T, verb: verb, hash: t.H, finish: t.Finish, turn: t.N})
}

// judgeEnd is V29: at the end the screen shows what is stored. The record
// carries what the client's own fold shows, which must be the same.
func (sc *screen) judgeEnd(r *history.Record) {
	for _, t := range r.Turns {
		sh := sc.runs[t.Run]
		if t.Author != "partner" || t.Run == 0 || sh == nil {
			continue
		}
		if sc.s.byRun[convRun{sc.conv, t.Run}] != nil && history.Hash(sh.text) != t.H {
			sc.s.breach("V29", r, "run %d shows %d characters, the client's fold %d", t.Run, len(sh.text), t.Len)
		}
	}
	for no, sh := range sc.runs {
		if m := sc.s.byRun[convRun{sc.conv, no}]; m != nil && sh.ended == "" {
			sc.s.breach("V29", r, "run %d is still open on the screen", no)
		}
	}
}
