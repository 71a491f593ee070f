package conversation

import (
	"encoding/json"
	"slices"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// promptTurns is more than any prompt looks back.
const promptTurns = 100

// reaches reports whether the turns kept suffice for a run's prompt: its
// branch is there to the beginning, or far enough back.
func (st *State) reaches(run Run) bool {
	if run.Parent == 0 {
		return true
	}
	path, whole := Path(st.Turns, Head{Run: run.No, Turn: run.Parent})
	return whole || len(path) >= promptTurns
}

// Branch returns the turns that are shown, in the order of the talk: each
// learner's turn of the active branch followed by its reply, as far back as
// turns are kept.
func (st *State) Branch() []Turn {
	turns, _ := Path(st.Turns, st.Head)
	return turns
}

// Window returns the turns that a run answers, in the order of the talk: its
// branch up to the run's parent. Messages that were sent later wait for runs
// of their own, and other branches were never said.
func (st *State) Window(run Run) []Turn {
	tip := Head{Run: run.No, Turn: run.Parent}
	if tip.Turn == 0 {
		tip = st.Head // it answers no message: it is about the talk as it stands
	}
	turns, _ := Path(st.Turns, tip)
	if n := len(turns); n > 0 && turns[n-1].Author == Partner && turns[n-1].Run == run.No {
		turns = turns[:n-1]
	}
	return turns
}

// Path follows a branch from its tip to its beginning and returns its turns in
// the order of the talk. whole is false when older ones are not among turns.
func Path(turns []Turn, tip Head) (path []Turn, whole bool) {
	learner, reply := make(map[int64]int, len(turns)), make(map[int64]int, len(turns))
	for i := range turns {
		if t := &turns[i]; t.Author == Learner {
			learner[t.N] = i
		} else {
			reply[t.Run] = i
		}
	}
	var back []int
	run, n := tip.Run, tip.Turn
	for {
		if i, ok := reply[run]; ok && run != 0 {
			back = append(back, i)
		}
		if n == 0 {
			whole = true
			break
		}
		i, ok := learner[n]
		if !ok {
			break
		}
		back = append(back, i)
		if turns[i].Parent >= n {
			break // never ours: it would not end
		}
		run, n = turns[i].After, turns[i].Parent
	}
	path = make([]Turn, 0, len(back))
	for i := len(back) - 1; i >= 0; i-- {
		path = append(path, turns[back[i]])
	}
	return path, whole
}

// Linear fills in the links of a turn that was stored before there were
// branches: it follows the turns before it.
func Linear(before []Turn, t *Turn) {
	t.Parent, t.After = 0, 0
	if t.Author == Learner {
		t.After = max(0, t.Run-1)
	}
	for i := len(before) - 1; i >= 0; i-- {
		b := &before[i]
		if b.Author == Learner && (t.Author == Learner || b.Run == t.Run) {
			t.Parent = b.N
			return
		}
	}
}

// HeadOf tells where a fact leaves the head; ok is false when it does not
// touch it.
func HeadOf(f *Fact) (h Head, ok bool) {
	switch {
	case f.Type == TypeAccepted && f.Turn != nil:
		return Head{Run: f.Turn.Run, Turn: f.Turn.N}, true
	case f.Type == TypeChosen:
		return h, json.Unmarshal(f.Data, &h) == nil
	}
	return h, false
}

// CutPage takes the newest limit turns of a path; before, when not 0, is a
// turn of it: only those that come earlier count. One that is not on the path
// (another branch is shown by now) is cursor_gone: an empty page would say that
// nothing comes before it.
func CutPage(path []Turn, before int64, limit int) (page []Turn, more bool, err error) {
	if before != 0 {
		end := slices.IndexFunc(path, func(t Turn) bool { return t.N == before })
		if end < 0 {
			return nil, false, fault.New(fault.CursorGone, "The page begins at a turn that is not on this branch.")
		}
		path = path[:end]
	}
	if n := len(path) - limit; n > 0 {
		return path[n:], true, nil
	}
	return path, false, nil
}
