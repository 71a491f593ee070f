package authentication

import (
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// application is a sign-up whose every value was checked.
type application struct {
	email, fullName, password, birth string
	consented                        bool
}

// check reads a sign-up and reports every bad field at once.
func check(in SignUpInput, now time.Time) (application, error) {
	var bad []fault.Field
	add := func(name, code, message string) {
		bad = append(bad, fault.Field{Name: name, Code: code, Message: message})
	}
	email, ok := normalEmail(in.Email)
	if !ok {
		add("email", "malformed", "This is not an e-mail address.")
	}
	name, code := normalName(in.FullName)
	if code != "" {
		bad = append(bad, nameField(code))
	}
	if code, message := newPasswordProblem(in.Password, email, name); code != "" {
		bad = append(bad, passwordField("password", code, message))
	}
	if !in.AcceptTerms && !in.TermsNotAsked {
		add("accept_terms", "required", "The terms must be accepted.")
	}
	if in.DateOfBirth != "" {
		if code, message := birthProblem(in.DateOfBirth, now); code != "" {
			add("date_of_birth", code, message)
		}
	} else if !in.AgeConfirmed {
		add("age_confirmed", "required", "The age must be confirmed.")
	}
	if len(bad) > 0 {
		return application{}, invalid("The account cannot be made like this.", bad...)
	}
	return application{email: email, fullName: name, password: in.Password, birth: in.DateOfBirth, consented: in.AcceptTerms}, nil
}

// learner makes the account of an accepted application.
func (a application) learner(hash string, now time.Time) *Learner {
	rec := LearnerRecord{
		ID: LearnerID(uuid.Must(uuid.NewV7()).String()), Email: a.email, FullName: a.fullName,
		PasswordHash: hash, DateOfBirth: a.birth, Role: RoleLearner, CreatedAt: now, Version: 1,
	}
	if a.consented {
		rec.ConsentedAt = now
	}
	return &Learner{rec}
}

// normalEmail lower-cases an address and says whether it is one.
func normalEmail(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) > 254 || !utf8.ValidString(s) {
		return "", false
	}
	addr, err := mail.ParseAddress(s)
	if err != nil || addr.Name != "" || addr.Address != s {
		return "", false
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	if len(local) > 64 || !strings.Contains(domain, ".") {
		return "", false
	}
	for _, label := range strings.Split(domain, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for _, r := range label {
			if r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
				return "", false
			}
		}
	}
	return s, true
}

// normalName trims a name and folds runs of white space; code is "" when it is
// a name. O'Neill, Jean-Luc and 陳大文 are.
func normalName(s string) (name, code string) {
	if !utf8.ValidString(s) {
		return "", "malformed"
	}
	s = strings.Join(strings.Fields(s), " ")
	letters := false
	for _, r := range s {
		// Overrides of the writing direction could make a name read as another.
		if unicode.IsControl(r) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return "", "malformed"
		}
		letters = letters || unicode.IsLetter(r)
	}
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "", "required"
	case n < 2:
		return "", "too_short"
	case n > 100:
		return "", "too_long"
	case !letters:
		return "", "malformed"
	}
	return s, ""
}

// passwordProblem is "" for a password that is taken, unchanged.
func passwordProblem(s string) string {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return "malformed"
	case n == 0:
		return "required"
	case n < 8:
		return "too_short"
	case n > 128:
		return "too_long"
	}
	return ""
}

func nameField(code string) fault.Field {
	return fault.Field{Name: "full_name", Code: code, Message: "A name has 2 to 100 characters of any script."}
}

// invalid is the failure of fields.
func invalid(message string, fields ...fault.Field) error {
	return &fault.Error{Code: fault.Invalid, Message: message, Fields: fields}
}
