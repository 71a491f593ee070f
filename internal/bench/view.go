package bench

import (
	"encoding/json"
	"strings"
	"time"
)

// view is a learner's screen: the text of one run as the protocol has a client
// build it, and everything that should never happen counted. Text is ASCII, so
// bytes are UTF-16 units.
type view struct {
	want    string // the whole answer, known beforehand
	last    int64
	run     int64
	attempt int64
	base    int64
	text    string
	// lost are characters skipped, doubled such as a new event brought again,
	// taken such as were shown and went or changed.
	lost, doubled, taken int
	ended                string // type of the end, "" while open
}

type wireEvent struct {
	Seq     int64  `json:"seq"`
	From    int64  `json:"from"`
	Type    string `json:"type"`
	Run     int64  `json:"run"`
	Attempt int64  `json:"attempt"`
	Base    int64  `json:"base"`
	Data    struct {
		At   int    `json:"at"`
		Text string `json:"text"`
	} `json:"data"`
}

type wireFrame struct {
	T     string      `json:"t"`
	E     []wireEvent `json:"e"`
	Cur   string      `json:"cur"`
	State struct {
		Open *struct {
			Run     int64  `json:"run"`
			Attempt int64  `json:"attempt"`
			Base    int64  `json:"base"`
			Text    string `json:"text"`
		} `json:"open"`
		Turns []struct {
			Run    int64  `json:"run"`
			Author string `json:"author"`
			Text   string `json:"text"`
		} `json:"turns"`
	} `json:"state"`
}

// frame applies one frame of the server; grew says that text came which was
// not shown before, and by which attempt.
func (v *view) frame(msg []byte) (grew bool, attempt int64, err error) {
	var f wireFrame
	if err := json.Unmarshal(msg, &f); err != nil {
		return false, 0, err
	}
	switch f.T {
	case "snapshot":
		grew, attempt = v.snapshot(&f)
	case "ev":
		for i := range f.E {
			if v.event(&f.E[i]) {
				grew, attempt = true, f.E[i].Attempt
			}
		}
	}
	return grew, attempt, nil
}

// watch begins to look at a run.
func (v *view) watch(run int64) { v.run = run }

func (v *view) event(e *wireEvent) bool {
	old := e.Seq <= v.last
	v.last = max(v.last, e.Seq)
	if old || v.ended != "" || e.Run == 0 || (v.run != 0 && e.Run != v.run) {
		return false
	}
	v.attempt = max(v.attempt, e.Attempt)
	switch _, kind, _ := strings.Cut(e.Type, "."); kind {
	case "delta":
		if e.Base < v.base {
			return false
		}
		v.begin(e.Base)
		return v.add(e.Data.At, e.Data.Text, e.From == 0)
	case "restarted":
		v.begin(e.Base)
	case "completed", "stopped", "failed":
		v.ended = kind
		v.finish(e.Data.Text)
	}
	return false
}

// begin empties the screen when the run's text begins anew.
func (v *view) begin(base int64) {
	if base > v.base {
		v.taken += len(v.text)
		v.text, v.base = "", base
	}
}

// add puts text at its place. single says that the event was not merged for
// delivery, so that what overlaps is there twice in the log.
func (v *view) add(at int, text string, single bool) bool {
	if at > len(v.text) {
		v.lost += at - len(v.text)
		v.text += strings.Repeat("?", at-len(v.text))
	}
	over := min(len(v.text)-at, len(text))
	if over > 0 && single {
		v.doubled += over
	}
	v.taken += differ(v.text[at:at+over], text[:over])
	v.text += text[over:]
	return over < len(text)
}

// finish compares with the stored answer and with what it should be.
func (v *view) finish(stored string) {
	v.lost += max(0, len(stored)-len(v.text)) + max(0, len(v.want)-len(stored))
	v.doubled += max(0, len(v.text)-len(stored)) + max(0, len(stored)-len(v.want))
	v.taken += differ(v.text, stored) + differ(stored, v.want)
}

func (v *view) snapshot(f *wireFrame) (bool, int64) {
	if o := f.State.Open; o != nil && (v.run == 0 || o.Run == v.run) {
		v.attempt = max(v.attempt, o.Attempt)
		v.begin(o.Base)
		n := min(len(o.Text), len(v.text))
		v.taken += differ(o.Text[:n], v.text[:n])
		if len(o.Text) > len(v.text) {
			v.text = o.Text
			return true, o.Attempt
		}
		return false, 0
	}
	for _, t := range f.State.Turns {
		if v.run != 0 && t.Run == v.run && t.Author == "partner" && v.ended == "" {
			v.ended = "completed"
			v.add(len(v.text), t.Text[min(len(v.text), len(t.Text)):], true)
			v.finish(t.Text)
		}
	}
	return false, 0
}

// differ counts places where two texts differ, as far as both go.
func differ(a, b string) int {
	n := 0
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// growth is when text came that was new, and whose.
type growth struct {
	at      time.Time
	attempt int64
}
