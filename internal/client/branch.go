package client

// link checks where a turn stands in the tree; one without links follows the
// one before it.
func (f *Fold) link(e *Event, t *Turn) {
	if t.Parent != unlinked {
		after := f.turn(t.Parent)
		switch {
		case t.Parent < 0 || t.Parent >= t.N || after != nil && after.Author != "learner":
			f.breach("bad_link", e, "turn %d stands under turn %d", t.N, t.Parent)
		case t.Author == "learner" && t.After >= t.Run && t.Run > 0:
			f.breach("bad_link", e, "turn %d of run %d comes after run %d", t.N, t.Run, t.After)
		}
		return
	}
	t.Parent = 0
	if t.Author == "learner" {
		t.After = max(0, t.Run-1)
	}
	for i := len(f.Turns) - 1; i >= 0; i-- {
		if b := &f.Turns[i]; b.Author == "learner" && (t.Author == "learner" || b.Run == t.Run) {
			t.Parent = b.N
			return
		}
	}
}

func (f *Fold) turn(n int64) *Turn {
	for i := range f.Turns {
		if f.Turns[i].N == n {
			return &f.Turns[i]
		}
	}
	return nil
}

// newest is the tip where nothing says another.
func newest(turns []Turn) Head {
	var h Head
	for _, t := range turns {
		if t.Run > h.Run {
			h = Head{Run: t.Run, Turn: t.N}
			if t.Author == "partner" {
				h.Turn = t.Parent
			}
		}
	}
	return h
}

// Branch is what is shown, in the order of the talk: from the head back over
// each learner's turn and the reply before it.
func (f *Fold) Branch() []Turn {
	var back []Turn
	for h := f.Head; ; {
		for _, t := range f.Turns {
			if t.Author == "partner" && t.Run == h.Run && h.Run > 0 {
				back = append(back, t)
			}
		}
		t := f.turn(h.Turn)
		if t == nil || t.Author != "learner" || t.Parent >= t.N {
			break
		}
		back = append(back, *t)
		h = Head{Run: t.After, Turn: t.Parent}
	}
	out := make([]Turn, 0, len(back))
	for i := len(back) - 1; i >= 0; i-- {
		out = append(out, back[i])
	}
	return out
}
