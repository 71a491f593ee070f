package browsertest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// data is where the node keeps what it has embedded.
func (n *node) data() string {
	n.t.Helper()
	for _, e := range n.env {
		if dir, ok := strings.CutPrefix(e, "FLUENTPRO_DATA_DIR="); ok {
			return dir
		}
	}
	n.t.Fatal("the node has no data directory")
	return ""
}

// mailed waits for a mail with a link to a page and returns the link's secret.
func (n *node) mailed(page string) (secret string) {
	n.t.Helper()
	link := regexp.MustCompile(`/#/` + page + `/([A-Za-z0-9_.~-]+)`)
	testenv.EventuallyTrue(n.t, time.Minute, "a mail with a link to "+page, func() bool {
		files, err := filepath.Glob(filepath.Join(n.data(), "mail", "*.eml"))
		if err != nil {
			return false
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				n.t.Fatal(err)
			}
			text := strings.ReplaceAll(strings.ReplaceAll(string(raw), "=\r\n", ""), "=\n", "")
			if m := link.FindStringSubmatch(text); m != nil {
				secret = m[1]
				return true
			}
		}
		return false
	})
	return secret
}

// A learner confirms the address, signs out everywhere, has forgotten the
// password, sets a new one by the link in the mail, and is in again. The
// secrets of the links do not stay in the address.
func TestForgottenPassword(t *testing.T) {
	t.Parallel()
	m := startModel(t, 0)
	n := startNode(t, m, model)
	b := openBrowser(t, phone)
	const email = "mei.forgets@example.com"
	b.signUp(n.base(), email)

	b.open(n.base() + "/#/account")
	b.see("verify-notice")
	b.see("login") // the list has a request of its own
	if got := b.texts("login"); len(got) != 1 || !strings.Contains(got[0], "this one") {
		t.Errorf("signed in at %q", got)
	}
	b.open(n.base() + "/#/verify-email/" + n.mailed("verify-email"))
	b.see("verified")
	if hash := ask[string](b, "location.hash"); hash != "#/verify-email" {
		t.Errorf("the address still is %s", hash)
	}
	b.open(n.base() + "/#/account")
	b.click("sign-out-everywhere")
	b.click("go-forgot")
	b.fill("email", email)
	b.click("forgot")
	b.see("forgot-sent")

	b.open(n.base() + "/#/reset-password/" + n.mailed("reset-password"))
	b.see("new-password")
	if hash := ask[string](b, "location.hash"); hash != "#/reset-password" {
		t.Errorf("the address still is %s", hash)
	}
	const fresh = "quiet zebras paint 9 lamps"
	b.fill("new-password", fresh)
	b.click("reset")
	b.see("reset-done")
	b.click("go-sign-in")
	b.fill("email", email)
	b.fill("password", fresh)
	b.click("sign-in")
	b.see("step-language")
	b.clean()
}
