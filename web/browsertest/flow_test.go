package browsertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	password = "nine quiet harbours of tin"
	// tokens of each reply, and the time from one to the next: long enough to
	// be interrupted, short enough for a test.
	tokens = 300
	pace   = 12 * time.Millisecond
	model  = "checkable-300"
	// markup must show as what it is.
	markup = `Thank you. <img src=x onerror="throw 1"><script>throw 2</script> <b>Bold</b> &amp;`
)

// signUp makes an account.
func (b *browser) signUp(base, email string) {
	b.t.Helper()
	b.open(base + "/#/sign-up")
	b.fill("full-name", "Mei Tanaka")
	b.fill("email", email)
	b.fill("password", password)
	b.click("accept-terms")
	b.click("age-confirmed")
	b.shots("sign-up")
	b.click("sign-up")
	b.see("step-language")
}

// onboard answers every step, with a reload in the middle.
func (b *browser) onboard() {
	b.t.Helper()
	b.fill("search", "japan")
	b.shots("language")
	b.click("option-ja")
	b.click("next")
	b.see("step-industry")
	b.click("option-banking_finance")
	b.click("next")
	b.see("step-job")
	b.reload()
	b.see("step-job")
	b.fill("job-title", "Relationship Manager")
	b.fill("job-description", "I look after corporate clients of a bank and solve problems with payments.")
	b.click("next")
	b.see("step-role")
	b.shots("role")
	b.click("option-relationship_manager")
	b.click("next")
	b.see("step-partners")
	b.click("option-clients")
	b.click("option-senior_management")
	b.fill("custom", "The auditor")
	b.click("add-custom")
	b.shots("partners")
	b.click("next")
	b.see("step-situations")
	for _, partner := range []string{"clients", "senior_management", "custom:The auditor"} {
		b.do("choose a situation", chromedp.Click(id("partner-"+partner)+" "+id("option-meetings")))
	}
	b.shots("situations")
	b.click("next")
	b.see("step-level")
	b.click("option-B1")
	b.click("next")
	b.see("step-summary")
	b.until("the summary names the answers", `document.querySelector('.summary')?.textContent.includes('The auditor')`)
	b.shots("summary")
	b.click("complete")
	b.see("new-scenario")
	b.shots("home")
}

// practise asks for a scenario and starts a conversation from it; watch sees
// its parts before it is whole, also over a reload.
func (b *browser) practise(watch bool) {
	b.t.Helper()
	b.click("new-scenario")
	if !watch {
		b.click("start-conversation")
		b.see("composer")
		b.online()
		return
	}
	b.until("a title while it is written", fmt.Sprintf(`document.querySelector('.writing %s')`, id("scenario-title")))
	title := b.texts("scenario-title")[0]
	b.reload()
	b.until("objectives while it is written", fmt.Sprintf(`document.querySelectorAll('.writing %s').length >= 2`, id("scenario-objective")))
	b.shots("writing")
	b.see("start-conversation")
	if got := b.texts("scenario-title"); len(got) != 1 || !strings.HasPrefix(got[0], title) {
		b.t.Errorf("title %q after the reload, %q before", got, title)
	}
	b.shots("brief")
	b.reload() // from a snapshot it is the same scenario
	b.see("start-conversation")
	if got := b.texts("scenario-title"); len(got) != 1 || !strings.HasPrefix(got[0], title) {
		b.t.Errorf("title %q after another reload, %q before", got, title)
	}
	b.click("start-conversation")
	b.see("composer")
	b.online()
}

func (b *browser) online() {
	b.t.Helper()
	b.until("online", fmt.Sprintf(`document.querySelector('%s')?.dataset.state === 'online'`, id("connection-state")))
}

// replied waits until n turns of the partner are finished.
func (b *browser) replied(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("%d turns of the partner", n), fmt.Sprintf(`document.querySelectorAll('%s').length === %d && !document.querySelector('%s')`, id("turn-partner"), n, id("open-reply")))
}

// writing waits until an open reply has more than n characters.
func (b *browser) writing(n int) string {
	b.t.Helper()
	b.until("a reply being written", fmt.Sprintf(`(document.querySelector('%s .said')?.textContent.length ?? 0) > %d`, id("open-reply"), n))
	if got := b.texts("open-reply"); len(got) == 1 {
		return got[0]
	}
	return "" // finished between the two questions
}

// checkReply fails unless text is the model's whole answer: every token once,
// in order.
func checkReply(t *testing.T, text string) {
	t.Helper()
	words := strings.Fields(text)
	if len(words) != tokens {
		t.Errorf("the reply has %d tokens, want %d: %q", len(words), tokens, text)
		return
	}
	tag, _, _ := strings.Cut(words[0], ".")
	for i, w := range words {
		if w != tag+"."+strconv.Itoa(i) {
			t.Errorf("token %d of the reply is %q", i, w)
			return
		}
	}
}

// last is the last finished turn of the partner.
func (b *browser) last() string {
	b.t.Helper()
	all := b.texts("turn-partner")
	if len(all) == 0 {
		b.t.Fatal("no turn of the partner")
	}
	return all[len(all)-1]
}

// said fails unless the learner's turns are exactly these.
func (b *browser) said(want ...string) {
	b.t.Helper()
	got := b.texts("turn-learner")
	if strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
		b.t.Errorf("the learner's turns are %q, want %q", got, want)
	}
	if left := b.texts("pending"); len(left) > 0 {
		b.t.Errorf("still on the way: %q", left)
	}
}

// arrive brings a new learner to a conversation and returns how many turns of
// the partner it begins with.
func (b *browser) arrive(n *node, watch bool) int {
	b.t.Helper()
	b.signUp(n.base(), strings.ToLower(strings.ReplaceAll(b.t.Name(), "/", "-"))+"@example.com")
	b.onboard()
	b.practise(watch)
	b.until("the conversation", `document.querySelector('.turns') && !document.querySelector('.scroller .waiting')`)
	return len(b.texts("turn-partner"))
}

func TestPractice(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]size{"desktop": desktop, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBrowser(t, s)
			n := startNode(t, startModel(t, 8*time.Millisecond), model)
			turns := b.arrive(n, true)

			b.fill("composer", "Good morning, I have news about your payment.")
			if s.touch {
				b.click("send")
			} else {
				b.enter()
			}
			if rest := ask[string](b, fmt.Sprintf(`document.querySelector('%s').value`, id("composer"))); rest != "" {
				t.Errorf("%q stayed in the composer", rest)
			}
			before := b.writing(40)
			b.shots("chat")
			b.reload()
			after := b.writing(len(before))
			if after != "" && !strings.HasPrefix(after, before) {
				t.Errorf("after the reload the reply begins with %q, before it was %q", after, before)
			}
			b.replied(turns + 1)
			checkReply(t, b.last())

			// The second reply is stopped, and stays so.
			b.fill("composer", markup)
			b.click("send")
			b.writing(20)
			b.click("stop")
			b.replied(turns + 2)
			stopped := b.last()
			b.reload()
			b.replied(turns + 2)
			if got := b.last(); got != stopped || len(strings.Fields(got)) >= tokens {
				t.Errorf("the stopped reply is %q, before the reload it was %q", got, stopped)
			}
			b.said("Good morning, I have news about your payment.", markup)
			b.shots("stopped")

			// Nothing may be wider than the screen.
			if over := ask[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("the page is %d px wider than the window", over)
			}
			b.clean()
		})
	}
}

// TestOffline takes the network away in mid-reply: what is written meanwhile
// is kept, sent once, and the reply loses nothing.
func TestOffline(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"told", "untold"} { // whether the device notices
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			b := openBrowser(t, phone)
			n := startNode(t, startModel(t, 0), model)
			turns := b.arrive(n, false)
			b.fill("composer", "First message.")
			b.click("send")
			before := b.writing(40)
			if way == "told" {
				b.offline(true)
			}
			n.proxy.Refuse(true)
			n.proxy.DropAll()
			b.see("connection-banner")
			b.fill("composer", "Written without a network.")
			b.click("send")
			b.fill("composer", "Only a draft")
			b.shots("offline")
			if got := b.texts("pending"); len(got) != 1 || got[0] != "Written without a network." {
				t.Errorf("on the way: %q", got)
			}
			if got := b.texts("open-reply"); len(got) == 1 && !strings.HasPrefix(got[0], before) {
				t.Errorf("the reply %q was shortened to %q", before, got[0])
			}
			n.proxy.Refuse(false)
			if way == "told" {
				b.offline(false)
			}
			b.online()
			b.replied(turns + 2)
			all := b.texts("turn-partner")
			for _, text := range all[turns:] {
				checkReply(t, text)
			}
			b.said("First message.", "Written without a network.")
			if got := ask[string](b, fmt.Sprintf(`document.querySelector('%s').value`, id("composer"))); got != "Only a draft" {
				t.Errorf("the draft is now %q", got)
			}
			b.reload()
			b.see("composer")
			if got := ask[string](b, fmt.Sprintf(`document.querySelector('%s').value`, id("composer"))); got != "Only a draft" {
				t.Errorf("after a reload the draft is %q", got)
			}
			b.clean()
		})
	}
}

// TestFrozen freezes the page in mid-reply, as a phone does with a page in the
// background, lets its connection die meanwhile, and wakes it.
func TestFrozen(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, phone)
	m := startModel(t, 0)
	n := startNode(t, m, model)
	turns := b.arrive(n, false)
	b.fill("composer", "First message.")
	b.click("send")
	b.writing(40)
	b.fill("composer", "Half a thou")
	b.lifecycle(page.SetWebLifecycleStateStateFrozen)
	n.proxy.DropAll()
	complete(t, m, tokens)
	b.lifecycle(page.SetWebLifecycleStateStateActive)
	b.online()
	b.replied(turns + 1) // awake, but still in the background
	b.show()
	b.replied(turns + 1)
	checkReply(t, b.last())
	b.fill("composer", "ght.")
	b.click("send")
	b.replied(turns + 2)
	checkReply(t, b.last())
	b.said("First message.", "Half a thought.")
	b.clean()
}

// TestServerKilled kills the server in mid-reply and starts it again: the page
// goes on with the same text.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, desktop)
	n := startNode(t, startModel(t, 0), model)
	turns := b.arrive(n, false)
	b.fill("composer", "First message.")
	b.enter()
	before := b.writing(60)
	n.stop(syscall.SIGKILL)
	b.see("connection-banner")
	if got := b.texts("open-reply"); len(got) != 1 || !strings.HasPrefix(got[0], before) {
		t.Errorf("the reply %q became %q", before, got)
	}
	n.start()
	b.replied(turns + 1)
	checkReply(t, b.last())
	b.said("First message.")
	b.clean()
}

// TestScreenshot takes the picture of the README; FLUENTPRO_SCREENSHOT names a
// file to keep it in.
func TestScreenshot(t *testing.T) {
	file := os.Getenv("FLUENTPRO_SCREENSHOT")
	if file == "" {
		file = filepath.Join(t.TempDir(), "screenshot.png")
	}
	b := openBrowser(t, size{960, 600, false})
	n := startNode(t, startModel(t, 0), "scripted")
	turns := b.arrive(n, false)
	b.fill("composer", "Good morning. Thank you for your patience, I have news about the payment.")
	b.enter()
	b.replied(turns + 1)
	b.fill("composer", "It was held for a routine check. May I explain what happens next?")
	b.enter()
	b.writing(30)
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, png, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestOtherVersions asks for another reply, edits the message, and goes back
// to what was said first.
func TestOtherVersions(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, desktop)
	n := startNode(t, startModel(t, 0), model)
	turns := b.arrive(n, false)
	b.fill("composer", "First try.")
	b.click("send")
	b.replied(turns + 1)
	first := b.last()
	checkReply(t, first)
	b.click("regenerate")
	b.until("two versions of the reply", fmt.Sprintf(`document.querySelector('%s')?.textContent.includes('2 of 2')`, id("versions")))
	b.replied(turns + 1)
	checkReply(t, b.last())
	b.click("edit")
	b.fill("edit-text", " And more.") // behind what is there
	b.click("edit-send")
	b.until("the edited message", fmt.Sprintf(`[...document.querySelectorAll('%s .said')].map((e) => e.textContent).join() === 'First try. And more.'`, id("turn-learner")))
	b.replied(turns + 1)
	b.said("First try. And more.")
	b.reload()
	b.replied(turns + 1)
	b.said("First try. And more.")
	b.do("the version before", chromedp.Click(id("turn-learner")+" "+id("version-before")))
	b.until("the first message", fmt.Sprintf(`[...document.querySelectorAll('%s .said')].map((e) => e.textContent).join() === 'First try.'`, id("turn-learner")))
	b.do("the reply before", chromedp.Click(id("turn-partner")+" "+id("version-before")))
	b.until("the first reply", fmt.Sprintf(`[...document.querySelectorAll('%s .said')].at(-1)?.textContent === %q`, id("turn-partner"), first))
	b.said("First try.")
	b.clean()
}
