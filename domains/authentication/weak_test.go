package authentication

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestWeakPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"password": "too_common", "Password1": "too_common", "P@ssw0rd!": "too_common", "p4ssw0rd123": "too_common", "123456789": "too_common",
		"87654321": "too_common", "12345678910": "", "qwertyuiop": "too_common", "QWERTY123": "too_common", "asdfghjk": "too_common", "1qaz2wsx": "too_common",
		"1q2w3e4r": "too_common", "aaaaaaaa": "too_common", "abababab": "too_common", "12121212": "too_common", "abcabcabc": "too_common",
		"passwordpassword": "too_common", "iloveyou": "too_common", "I Love You!": "too_common", "letmein2024": "too_common", "Summer2026!": "too_common",
		"fluentpro": "too_common", "FluentPro1": "too_common", "welcome!!": "too_common", "zaq12wsx": "too_common", "qwerasdf": "too_common", "1234qwer": "too_common",
		"!@#$%^&*": "too_common", "correct-horse-battery-staple": "too_common", "abcdefgh": "too_common", "hgfedcba": "too_common",
		"ana.souza": "too_personal", "AnaSouza1": "too_personal", "Ana Souza": "too_personal", "souza2024": "too_personal", "ana.souza@example.com": "too_personal",
		"correct horse": "", "tulip under glass": "", "xk7#Qm2p": "", "密碼密碼密碼密碼": "too_common", "我喜歡喝茶和咖啡": "", "mein fahrrad ist blau": "",
		"passwords are hard to choose": "", "monkey business as usual": "", "short": "too_short", "": "required", "summertime blues": "",
	} {
		if got, _ := newPasswordProblem(in, "ana.souza@example.com", "Ana Souza"); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestWeakListIsInOrder(t *testing.T) {
	t.Parallel()
	var words []string
	for line := range strings.Lines(weakFile) {
		if !strings.HasPrefix(line, "#") {
			words = append(words, strings.TrimSpace(line))
		}
	}
	ok := regexp.MustCompile(`^[a-z]{4,}$`)
	for _, w := range words {
		if !ok.MatchString(w) {
			t.Errorf("%q is no word of lower-case letters", w)
		}
	}
	slices.Sort(words)
	if n := len(words); n < 200 || len(slices.Compact(words)) != n {
		t.Fatalf("%d words, or one twice", n)
	}
}

func TestSignUpRefusesWeakPasswords(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	for password, code := range map[string]string{"Passw0rd": "too_common", "anasouza": "too_personal"} {
		in := goodSignUp()
		in.Password = password
		_, err := s.SignUp(t.Context(), in)
		wantCode(t, err, fault.Invalid)
		if f := fault.Of(err).Fields; len(f) != 1 || f[0].Name != "password" || f[0].Code != code {
			t.Errorf("%s: got %+v, want %s", password, f, code)
		}
	}
	if len(m.learners) != 0 {
		t.Fatal("an account was made")
	}
}
