package authentication

import (
	_ "embed"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/internal/fault"
)

//go:embed weak/words.txt
var weakFile string

// weakWords are the words of the list.
var weakWords = func() map[string]bool {
	m := map[string]bool{}
	for line := range strings.Lines(weakFile) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			m[line] = true
		}
	}
	return m
}()

// walks are paths over a keyboard that fingers find by themselves; they count
// in both directions.
var walks = []string{
	"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp", "1q2w3e4r5t6y7u8i9o0p", "!@#$%^&*()",
	"abcdefghijklmnopqrstuvwxyz",
}

// swaps are what people write for letters.
var swaps = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "8", "b", "@", "a", "$", "s", "!", "i", "€", "e")

// newPasswordProblem is "" for a password that may be set by the learner of
// an address and a name.
func newPasswordProblem(s, email, name string) (code, message string) {
	switch code = passwordProblem(s); {
	case code != "":
		return code, "A password has 8 to 128 characters."
	case personal(s, email, name):
		return "too_personal", "This password is made of your name or e-mail; take one that others cannot guess."
	case common(s):
		return "too_common", "This password is among the first that others would try; take another, a few words for example."
	}
	return "", ""
}

func passwordField(name, code, message string) fault.Field {
	return fault.Field{Name: name, Code: code, Message: message}
}

// common reports a password that stands on everybody's list: a well-known
// word with the usual ornaments, a walk over the keyboard, a repetition.
func common(s string) bool {
	s = strings.ToLower(s)
	if repeated(s) || walked(s) || fewKinds(s) {
		return true
	}
	for _, stem := range stems(s) {
		if weakWords[stem] || stem != "" && (repeated(stem) && weakWords[unit(stem)] || utf8.RuneCountInString(stem) >= 4 && walked(stem)) {
			return true
		}
	}
	return false
}

// personal reports a password that is the learner's address or name, with the
// usual ornaments.
func personal(s, email, name string) bool {
	s = strings.ToLower(s)
	if s == email {
		return true
	}
	local, _, _ := strings.Cut(email, "@")
	parts := append(strings.FieldsFunc(local, func(r rune) bool { return !unicode.IsLetter(r) }), letters(local))
	name = strings.ToLower(name)
	parts = append(append(parts, strings.Fields(name)...), letters(name))
	for _, p := range parts {
		if utf8.RuneCountInString(p) < 3 {
			continue
		}
		for _, stem := range stems(s) {
			if stem == p {
				return true
			}
		}
	}
	return false
}

// stems are what is left of a lower-case password without ornaments: with
// swaps undone before or after the ends are cut.
func stems(s string) []string {
	cut := func(s string) string { return strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }) }
	return []string{letters(cut(s)), letters(swaps.Replace(cut(s))), letters(cut(swaps.Replace(s)))}
}

// letters is s without all else.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsMark(r) {
			return r
		}
		return -1
	}, s)
}

// unit is the shortest string that gives s by repetition.
func unit(s string) string {
	for n := 1; n <= len(s)/2; n++ {
		if len(s)%n == 0 && strings.Repeat(s[:n], len(s)/n) == s {
			return s[:n]
		}
	}
	return s
}

// repeated reports a short unit over and over.
func repeated(s string) bool {
	u := unit(s)
	return len(u) < len(s) && (utf8.RuneCountInString(u) <= 4 || weakWords[letters(u)])
}

// fewKinds reports eight and more characters of only two kinds.
func fewKinds(s string) bool {
	kinds := map[rune]bool{}
	for _, r := range s {
		kinds[r] = true
	}
	return len(kinds) <= 2
}

// walked reports a string that is one or two pieces of walks.
func walked(s string) bool {
	for i := range s {
		if i == 0 && onWalk(s) || i >= 3 && len(s)-i >= 3 && onWalk(s[:i]) && onWalk(s[i:]) {
			return true
		}
	}
	return false
}

func onWalk(s string) bool {
	back := reverse(s)
	for _, w := range walks {
		if strings.Contains(w, s) || strings.Contains(w, back) {
			return true
		}
	}
	return false
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}
