package practice

// ShownScenario returns how many bytes of a scenario's unfinished JSON the
// learner may see while it is being written: everything before the partner
// card, which holds goal, constraints and hidden facts. A key whose name is
// not complete yet is held back until it is.
func ShownScenario(text []byte) int {
	depth, key, start := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
			key = depth == 1 && text[i] == '{'
		case '}', ']':
			depth--
		case ',':
			key = depth == 1
		case '"':
			start = i
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 1 && key {
				// An escape in a key of ours is a disguise: hold it back too.
				if i >= len(text) || string(text[start:i+1]) == `"partner"` || hasEscape(text[start:i+1]) {
					return start
				}
				key = false
			}
		}
	}
	return len(text)
}

func hasEscape(b []byte) bool {
	for _, c := range b {
		if c == '\\' {
			return true
		}
	}
	return false
}
