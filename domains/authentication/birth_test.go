package authentication

import (
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestBirthProblem(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 23, 30, 0, 0, time.FixedZone("", -3*3600)) // 2 May in UTC
	for in, want := range map[string]string{
		"1990-05-01": "", "2013-05-02": "", "2013-05-03": "too_young", "2013-05-01": "", "2012-02-29": "",
		"2026-05-02": "too_young", "2026-05-03": "out_of_range", "1896-05-02": "", "1896-05-01": "out_of_range",
		"": "malformed", "1990-02-30": "malformed", "1990-5-1": "malformed", "01.05.1990": "malformed", "1990-05-01T00:00:00Z": "malformed",
	} {
		if got, _ := birthProblem(in, now); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Who tells the date of birth need not confirm the age as well, and a caller
// that cannot ask for consent leaves none on record.
func TestSignUpWithADateOfBirth(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	in := SignUpInput{Email: "ana@example.com", Password: "correct horse", FullName: "Ana", DateOfBirth: "1990-02-03", TermsNotAsked: true}
	got, err := s.SignUp(t.Context(), in)
	if err != nil || got.Learner.DateOfBirth != "1990-02-03" {
		t.Fatalf("got %+v %v", got.Learner, err)
	}
	if r := m.learners[got.Learner.ID]; !r.ConsentedAt.IsZero() {
		t.Fatalf("consent of %v is on record, nobody gave it", r.ConsentedAt)
	}
	young := SignUpInput{Email: "ben@example.com", Password: "correct horse", FullName: "Ben", DateOfBirth: "2020-02-03", AcceptTerms: true, AgeConfirmed: true}
	_, err = s.SignUp(t.Context(), young)
	wantCode(t, err, fault.Invalid)
	if f := fault.Of(err).Fields; len(f) != 1 || f[0].Name != "date_of_birth" || f[0].Code != "too_young" {
		t.Fatalf("got %+v", f)
	}
	_, err = s.SignUp(t.Context(), SignUpInput{Email: "ben@example.com", Password: "correct horse", FullName: "Ben"})
	if f := fault.Of(err).Fields; len(f) != 2 {
		t.Fatalf("without a date the age and the terms are asked for: %+v", f)
	}
}
