package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// pageKinds are what a browser brings itself; a page of the server runs them,
// signed in by its cookie.
var pageKinds = []string{"chromium-eventsource", "chromium-websocket"}

// openPage opens the server's page at base in a browser of its own and signs l
// in. What the page is told to do comes as with newDrivers.
func openPage(t *testing.T, l *learner, base string) *drivers {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(testenv.Chromium(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("no-first-run", true), chromedp.NoSandbox, chromedp.DisableGPU)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	out, in := io.Pipe()
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithListener(func(ev any) {
		e, ok := ev.(*runtime.EventConsoleAPICalled)
		if !ok || len(e.Args) == 0 {
			return
		}
		var line string
		if json.Unmarshal(e.Args[0].Value, &line) == nil && strings.HasPrefix(line, "{") {
			_, _ = io.WriteString(in, line+"\n") // nobody reads after the end
		}
	}))
	d := &drivers{t: t, in: &pageWriter{t, ctx}, said: map[string][]told{}}
	var wg sync.WaitGroup
	wg.Go(func() { d.listen(out) })
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser to end
		cancel()
		stop()
		_ = in.Close()
		wg.Wait()
	})
	// The first call starts the browser, which lives as long as its context.
	if err := chromedp.Do(ctx, chromedp.Navigate(base+"/")); err != nil {
		t.Fatalf("open the page: %v", err)
	}
	login, err := json.Marshal(map[string]string{"email": l.email, "password": learnersPassword, "transport": "cookie"})
	if err != nil {
		t.Fatal(err)
	}
	d.evaluate(fmt.Sprintf(`fetch('/api/v2/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(%s) })
		.then((res) => { if (!res.ok) throw new Error('login: ' + res.status); })`, login))
	var script strings.Builder
	for _, file := range []string{"folded.mjs", "page.js"} {
		raw, err := os.ReadFile("../../web/clienttests/" + file)
		if err != nil {
			t.Fatal(err)
		}
		script.WriteString(strings.ReplaceAll(string(raw), "export function", "function"))
	}
	d.evaluate("(() => {" + script.String() + "})()")
	return d
}

func (d *drivers) evaluate(js string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, js); err != nil {
		d.t.Fatal(err)
	}
}

// pageWriter has a page run what is written: a script, or a command as JSON.
type pageWriter struct {
	t   *testing.T
	ctx context.Context
}

func (w *pageWriter) Write(p []byte) (int, error) {
	js := string(p)
	if strings.HasPrefix(js, "{") {
		// It tells of its end itself; the page must not wait for one to run another.
		js = "void drive(" + js + ")"
	}
	ctx, cancel := context.WithTimeout(w.ctx, 2*soon)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](js, chromedp.EvalAwaitPromise)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Chromium's EventSource and WebSocket see the whole reply and only it, by
// nothing but what the browser does by itself (EventSource) and one line that
// connects again (WebSocket): uncut, cut in the middle, with the node killed
// that writes, and with the node killed that they are connected to.
func TestClientsChromium(t *testing.T) {
	t.Parallel()
	testenv.Chromium(t)
	for _, tc := range []struct {
		name string
		// at is the node that the page is connected to.
		at   func(*cluster) *process
		harm func(*cluster, *testenv.Proxy)
		// lost are connections that must end.
		lost bool
	}{
		{"whole", func(c *cluster) *process { return c.b }, func(*cluster, *testenv.Proxy) {}, false},
		{"cut", func(c *cluster) *process { return c.a }, func(_ *cluster, p *testenv.Proxy) { p.DropAll() }, true},
		{"producer killed", func(c *cluster) *process { return c.b }, func(c *cluster, _ *testenv.Proxy) { c.a.kill() }, false},
		{"edge killed", func(c *cluster) *process { return c.a }, func(c *cluster, p *testenv.Proxy) {
			p.Target(c.b.addr()) // as a balancer would
			c.a.kill()
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := testenv.NewProxy(t, "")
			base := "http://" + p.Addr
			c := newCluster(t, "FLUENTPRO_PUBLIC_ORIGINS="+base)
			p.Target(tc.at(c).addr())
			l, first := ready(t, c.a.base)
			d := openPage(t, l, base)
			c.model.slow(pace)
			all := d.guests(l, first, base, pageKinds...)
			for _, g := range all {
				l.say(g.conversation, g.tag) // at a, which then writes; the page's own sending is a repeat
				g.send()
			}
			for _, g := range all {
				g.reaches(len(reply(g.tag)) / 8)
			}
			tc.harm(c, p)
			if c.a.gone() {
				l.node = c.b.base
			}
			for _, g := range all {
				e := g.ended()
				g.exact(e, tc.lost)
				g.stored(e)
				cut := slices.ContainsFunc(g.all(), func(e told) bool { return e.State == "disconnected" })
				if cut != tc.lost {
					t.Errorf("%s was disconnected: %v, want %v", g.name, cut, tc.lost)
				}
			}
			if tc.lost {
				return
			}
			// Stopped in the middle.
			for _, g := range all {
				g.tag = newTag()
				g.send()
				g.reaches(len(reply(g.tag)) / 8)
				g.do("stop", nil)
				if e := g.ended(); !e.Stopped || e.Text == "" || !strings.HasPrefix(reply(g.tag), e.Text) || e.Text == reply(g.tag) {
					t.Errorf("%s, stopped: %+v", g.name, differ(e.Text, reply(g.tag)))
				}
			}
		})
	}
}

// all is everything that a client has said.
func (g *guest) all() []told {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	return slices.Clone(g.d.said[g.name])
}
