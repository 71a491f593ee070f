package browsertest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// stepTime bounds one action of a test; a page that does not come to it fails.
const stepTime = 45 * time.Second

// browser is one tab of a browser of its own, with what it complained about.
type browser struct {
	t     *testing.T
	ctx   context.Context
	mu    sync.Mutex
	heard []string
}

// size of a window; touch makes it a phone.
type size struct {
	width, height int64
	touch         bool
}

var (
	desktop = size{1280, 900, false}
	phone   = size{390, 844, true}
)

func openBrowser(t *testing.T, s size) *browser {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testenv.Chromium(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("no-first-run", true),
		chromedp.NoSandbox, chromedp.DisableGPU, // as root in a container there is neither
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	b := &browser{t: t}
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithListener(b.listen))
	b.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			b.explain()
		}
		_ = chromedp.Cancel(ctx) // waits for the browser to end
		cancel()
		stop()
	})
	var kind []chromedp.EmulateViewportOption
	if s.touch {
		kind = append(kind, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	// The first call starts the browser, which lives as long as its context.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(s.width, s.height, kind...)); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return b
}

func (b *browser) listen(ev any) {
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		b.hear("exception: " + text)
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == cdplog.EntrySourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
			b.hear("policy: " + e.Entry.Text)
		}
	}
}

func (b *browser) hear(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, s)
}

// clean fails when the page threw something or broke its own policy.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.heard {
		b.t.Error(s)
	}
}

// explain tells what the page showed when a test failed.
func (b *browser) explain() {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		b.t.Logf("the page does not answer: %v", err)
		return
	}
	b.t.Logf("page %s", text)
	b.mu.Lock()
	b.t.Logf("it said: %q", b.heard)
	b.mu.Unlock()
	if dir := os.Getenv("FLUENTPRO_TEST_SCREENSHOTS"); dir != "" {
		if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
			_ = os.WriteFile(dir+"/failed-"+strings.ReplaceAll(b.t.Name(), "/", "_")+".png", png, 0o600)
		}
	}
}

// do runs actions within the time of one step.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// id is the selector of a control.
func id(testid string) chromedp.CSS { return chromedp.CSS(fmt.Sprintf(`[data-testid="%s"]`, testid)) }

func (b *browser) open(address string) {
	b.t.Helper()
	b.do("open "+address, chromedp.Navigate(address))
}

func (b *browser) reload() {
	b.t.Helper()
	b.do("reload", chromedp.Reload())
}

func (b *browser) click(testid string) {
	b.t.Helper()
	b.do("click "+testid, chromedp.Click(id(testid)+":not([disabled])"))
}

func (b *browser) see(testid string) {
	b.t.Helper()
	b.do("see "+testid, chromedp.WaitVisible(id(testid)))
}

// fill types into a control, key by key; "\r" is Enter.
func (b *browser) fill(testid, text string) {
	b.t.Helper()
	b.do("fill "+testid, chromedp.Click(id(testid)), chromedp.SendKeys(id(testid), text))
}

// enter presses Enter as a keyboard does: one event that the page may refuse.
func (b *browser) enter() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		_, err := chromedp.Call(ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: kind, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13, Text: map[bool]string{true: "\r"}[kind == input.DispatchKeyEventTypeKeyDown],
		})
		if err != nil {
			b.t.Fatalf("press Enter: %v", err)
		}
	}
}

// until waits for an expression of the page to be true. The page asks itself,
// and is asked anew when it was loaded anew meanwhile.
func (b *browser) until(what, js string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	expr := `new Promise((done) => { const ask = () => { if (` + js + `) done(true); else setTimeout(ask, 20); }; ask(); })`
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expr, chromedp.EvalAwaitPromise))
		if err == nil && ok {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("until %s: not within %s: %v", what, stepTime, err)
		}
	}
}

// ask evaluates an expression of the page.
func ask[T any](b *browser, js string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.t.Fatalf("ask %s: %v", js, err)
	}
	return v
}

// texts reads what stands in every element with this id.
func (b *browser) texts(testid string) []string {
	b.t.Helper()
	return ask[[]string](b, fmt.Sprintf(`[...document.querySelectorAll('%s')].map((e) => (e.querySelector('.said') ?? e).textContent)`, id(testid)))
}

// offline makes the device say that it has no network, or has one again. It is
// only a word: the proxy does the cutting, because Chromium's own emulation
// of it ends its network process now and then when connections are reset
// meanwhile, and the cookies with it.
func (b *browser) offline(cut bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	_, err := chromedp.Call(ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: cut, DownloadThroughput: -1, UploadThroughput: -1})
	if err != nil {
		b.t.Fatalf("offline %v: %v", cut, err)
	}
	b.until("navigator.onLine", fmt.Sprintf("navigator.onLine === %v", !cut))
}

// lifecycle freezes the page, as a phone does with pages in the background,
// or wakes it.
func (b *browser) lifecycle(state page.SetWebLifecycleStateState) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	if _, err := chromedp.Call(ctx, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state}); err != nil {
		b.t.Fatalf("%s: %v", state, err)
	}
}

// show brings the page to the front; waking it up leaves it in the background.
func (b *browser) show() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	if err != nil {
		b.t.Fatalf("bring to front: %v", err)
	}
	b.until("visible", `document.visibilityState === 'visible'`)
}

// shots saves a picture where the environment asks for pictures.
func (b *browser) shots(name string) {
	b.t.Helper()
	dir := os.Getenv("FLUENTPRO_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(dir+"/"+strings.ReplaceAll(b.t.Name(), "/", "_")+"-"+name+".png", png, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
