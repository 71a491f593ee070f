package authentication

import "time"

// LeastAge is how many years old a learner must be.
const LeastAge = 13

// birthProblem is "" for a date of birth that can be one and is LeastAge years
// ago on the day of now, in UTC. Who was born on 29 February is a year older
// on 1 March of a common year.
func birthProblem(s string, now time.Time) (code, message string) {
	born, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return "malformed", "A date of birth is a day as YYYY-MM-DD."
	}
	year, month, day := now.UTC().Date()
	today := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	switch {
	case born.After(today), born.Before(today.AddDate(-130, 0, 0)):
		return "out_of_range", "This cannot be a date of birth."
	case born.AddDate(LeastAge, 0, 0).After(today):
		return "too_young", "Learners are at least 13 years old."
	}
	return "", ""
}
