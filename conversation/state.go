package conversation

// hasTurn reports whether a turn is among those kept; 0 stands for none.
func (st *State) hasTurn(n int64) bool {
	if n == 0 {
		return true
	}
	for i := len(st.Turns) - 1; i >= 0; i-- {
		if st.Turns[i].N == n {
			return true
		}
	}
	return false
}

// Window returns the turns that a run answers, in the order of the talk: each
// learner turn up to the run's parent, followed by its reply. Messages that
// were sent later wait for runs of their own.
func (st *State) Window(run Run) []Turn {
	replies := map[int64]Turn{}
	for _, t := range st.Turns {
		if t.Author == Partner {
			replies[t.Run] = t
		}
	}
	var out []Turn
	for _, t := range st.Turns {
		switch {
		case t.Author == Partner && !st.answers(t.Run):
			out = append(out, t) // an opening, or a reply whose question is no longer kept
		case t.Author == Learner && (run.Parent == 0 || t.N <= run.Parent):
			out = append(out, t)
			if r, ok := replies[t.Run]; ok && t.Run != run.No {
				out = append(out, r)
			}
		}
	}
	return out
}

func (st *State) answers(run int64) bool {
	for _, t := range st.Turns {
		if t.Author == Learner && t.Run == run {
			return true
		}
	}
	return false
}
