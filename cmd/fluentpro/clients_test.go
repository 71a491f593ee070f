package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// Other people's clients, as npm has them, against real processes: web/clienttests
// drives them, this file kills what they are connected to. Each must show the
// whole answer, exactly, by nothing but what its own documentation offers.

// Kinds of clients, by their names in web/clienttests/package.json.
var (
	aiKinds     = []string{"ai-5-0", "ai-5", "ai-6", "ai-7"}
	aiPlusKinds = []string{"ai-5-0+", "ai-5+", "ai-6+", "ai-7+"} // with web/client/ai-sdk underneath
	aguiKinds   = []string{"ag-ui-0", "ag-ui-1"}
	nativeKinds = []string{"eventsource", "ws", "minimal"} // the last is written from docs/protocol.md alone
)

// ours reports a kind that speaks our own protocol, and so shows every turn.
func ours(kind string) bool {
	return slices.Contains(nativeKinds, kind) || slices.Contains(pageKinds, kind)
}

// resumesItself reports a kind that reconnects without being asked.
func resumesItself(kind string) bool { return ours(kind) || slices.Contains(aiPlusKinds, kind) }

// told is what a client said.
type told struct {
	Name, Event, Status, State, Reason, Message, Text, Tail, ID string
	Length, Parts, Messages, Code                               int
	Streaming, Stopped                                          bool
	Facts                                                       []string
}

// drivers is one Node process with clients in it.
type drivers struct {
	t  *testing.T
	in io.Writer

	mu   sync.Mutex // guards said
	said map[string][]told
}

// node is a Node that all of them run on: AI SDK 7 wants 22.
func node(t *testing.T) string {
	t.Helper()
	if own, _ := filepath.Glob("../../.tools/node-*/node_modules/node/bin/node"); len(own) > 0 {
		path, err := filepath.Abs(own[len(own)-1])
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	bin := testenv.Tool(t, "node")
	out, err := exec.CommandContext(t.Context(), bin, "-p", `process.versions.node.split(".")[0]`).Output()
	if major, _ := strconv.Atoi(strings.TrimSpace(string(out))); err != nil || major < 22 {
		testenv.Missing(t, "Node 22 or later (scripts/test.sh gets one)")
	}
	return bin
}

func newDrivers(t *testing.T) *drivers {
	t.Helper()
	bin := node(t)
	const dir = "../../web/clienttests"
	if found, _ := filepath.Glob(dir + "/node_modules/ai-7/package.json"); len(found) == 0 {
		testenv.Missing(t, "the clients (npm ci in web/clienttests; scripts/test.sh does it)")
	}
	cmd := exec.Command(bin, "drive.mjs")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	errs := &talk{}
	cmd.Stderr = errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &drivers{t: t, in: in, said: map[string][]told{}}
	var wg sync.WaitGroup
	wg.Go(func() { d.listen(out) })
	t.Cleanup(func() {
		_ = in.Close() // it ends when nobody commands it any more
		wg.Wait()
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the clients' process: %v", err)
		}
		if t.Failed() {
			_, _ = fmt.Fprintf(t.Output(), "---- the clients said:\n%s\n", tail(errs.String(), 4000))
		}
	})
	return d
}

func (d *drivers) listen(out io.Reader) {
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var e told
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			e = told{Event: "failed", Message: "not JSON: " + sc.Text()}
		}
		d.mu.Lock()
		d.said[e.Name] = append(d.said[e.Name], e)
		d.mu.Unlock()
	}
}

// guest is one client in one conversation.
type guest struct {
	d                             *drivers
	l                             *learner
	name, kind, conversation, tag string
	// from is how much of what it said has been looked at.
	from int
}

func (g *guest) do(what string, with map[string]any) {
	g.d.t.Helper()
	cmd := map[string]any{"do": what, "name": g.name}
	for k, v := range with {
		cmd[k] = v
	}
	raw, err := json.Marshal(cmd)
	if err == nil {
		_, err = g.d.in.Write(append(raw, '\n'))
	}
	if err != nil {
		g.d.t.Fatalf("%s: %v", g.name, err)
	}
}

// until waits for an event that comes after those looked at.
func (g *guest) until(what string, ok func(told) bool) told {
	g.d.t.Helper()
	var got told
	testenv.Eventually(g.d.t, soon, func() error {
		g.d.mu.Lock()
		defer g.d.mu.Unlock()
		said := g.d.said[g.name]
		for ; g.from < len(said); g.from++ {
			e := said[g.from]
			if e.Event == "failed" {
				g.from++
				return errors.New(g.name + " failed: " + e.Message)
			}
			if ok(e) {
				g.from++
				got = e
				return nil
			}
		}
		last := told{}
		if len(said) > 0 {
			last = said[len(said)-1]
		}
		return fmt.Errorf("%s has not come to %q, last was %+v", g.name, what, last)
	})
	return got
}

func (g *guest) reaches(n int) {
	g.d.t.Helper()
	g.until(strconv.Itoa(n)+" units", func(e told) bool { return e.Event == "text" && e.Length >= n })
}

func (g *guest) ended() told {
	g.d.t.Helper()
	return g.until("the end", func(e told) bool { return e.Event == "ended" })
}

// guests opens one client of each kind, in a conversation of its own, at base.
func (d *drivers) guests(l *learner, first, base string, kinds ...string) []*guest {
	d.t.Helper()
	out := make([]*guest, len(kinds))
	for i, kind := range kinds {
		g := &guest{d: d, l: l, name: kind, kind: kind, conversation: first, tag: newTag()}
		if i > 0 {
			g.conversation = l.converse()
		}
		g.do("open", map[string]any{"client": kind, "base": base, "token": l.token, "conversation": g.conversation})
		out[i] = g
	}
	for _, g := range out {
		g.until("opened", func(e told) bool { return e.Event == "opened" })
	}
	return out
}

func (g *guest) send() { g.do("send", map[string]any{"id": g.tag, "text": message(g.tag)}) }

// exact checks the end that a client came to.
func (g *guest) exact(e told, resumed bool) {
	g.d.t.Helper()
	text := e.Text
	if g.kind == "ai-5-0" && resumed {
		// This version never replaces: what comes again is another part, beside
		// the one that was cut.
		text, e.Parts, e.Streaming = e.Tail, e.Parts-1, false
	}
	if e.Status != "ready" || e.Streaming || e.Parts != 1 || text != reply(g.tag) {
		g.d.t.Errorf("%s: status %s (%s), streaming %v, %d parts; %s", g.name, e.Status, e.Message, e.Streaming, e.Parts, differ(text, reply(g.tag)))
	}
	if !ours(g.kind) && e.Messages != 2 {
		g.d.t.Errorf("%s: shows %d messages, want the question and its answer", g.name, e.Messages)
	}
}

// stored checks that the conversation holds one question and one answer, and
// that the client knows the answer by its name.
func (g *guest) stored(e told) {
	g.d.t.Helper()
	var got struct {
		State struct {
			Turns []struct{ ID, Author, Text string }
		}
	}
	g.l.call("GET", "/conversations/"+g.conversation, nil, &got)
	var asked, answered int
	for _, turn := range got.State.Turns {
		switch {
		case turn.Author == "learner" && turn.Text == message(g.tag):
			asked++
		case turn.ID == e.ID && turn.Text == reply(g.tag):
			answered++
		}
	}
	if asked != 1 || answered != 1 {
		g.d.t.Errorf("%s: stored are %d questions and %d answers by the name it knows", g.name, asked, answered)
	}
}

// crowd lets one learner have all kinds connected at once, and once more: the
// connections of a node that was killed count until it is known to be dead.
const crowd = "FLUENTPRO_LIMITS_CONNECTIONS_PER_USER=100"

func everyKind() []string {
	return slices.Concat(aiKinds, aiPlusKinds, aguiKinds, nativeKinds)
}

func TestClientsWhole(t *testing.T) {
	t.Parallel()
	d := newDrivers(t)
	c := newCluster(t, crowd)
	l, first := ready(t, c.a.base)
	c.model.slow(pace / 4)
	all := d.guests(l, first, c.b.base, everyKind()...)
	for _, g := range all {
		g.send()
	}
	for _, g := range all {
		e := g.ended()
		g.exact(e, false)
		g.stored(e)
	}
	// A second talk in the same conversation, stopped in the middle, one after
	// the other: on a busy machine the last would have ended before its turn.
	c.model.slow(pace)
	for _, g := range all {
		g.tag = newTag()
		g.send()
		g.reaches(len(reply(g.tag)) / 8)
		g.do("stop", nil)
		e := g.ended()
		if e.Status != "ready" || e.Text == "" || e.Text == reply(g.tag) || !strings.HasPrefix(reply(g.tag), e.Text) {
			t.Errorf("%s, stopped: status %s (%s); %s", g.name, e.Status, e.Message, differ(e.Text, reply(g.tag)))
		}
		if !strings.HasPrefix(g.kind, "ai") && !e.Stopped {
			t.Errorf("%s does not know that the answer was stopped", g.name)
		}
		g.from = 0 // the confirmation may have come before the end
		g.until("stop confirmed", func(e told) bool { return e.Event == "stopped" && e.Code == http.StatusOK })
	}
}

// The connection is cut in mid-answer: an error, then one resume.
func TestClientsCut(t *testing.T) {
	t.Parallel()
	d := newDrivers(t)
	c := newCluster(t, crowd)
	l, first := ready(t, c.a.base)
	p := testenv.NewProxy(t, c.a.addr())
	c.model.slow(pace)
	all := d.guests(l, first, "http://"+p.Addr, everyKind()...)
	for _, g := range all {
		g.send()
	}
	for _, g := range all {
		g.reaches(len(reply(g.tag)) / 8)
	}
	p.DropAll()
	d.resumed(all, c.b)
}

// resumed expects an error of each client that does not reconnect by itself,
// lets it resume once at another node, and checks the text.
func (d *drivers) resumed(all []*guest, at *process) {
	d.t.Helper()
	for _, g := range all {
		g.do("move", map[string]any{"base": at.base})
		if resumesItself(g.kind) {
			continue
		}
		if e := g.ended(); e.Status != "error" || e.Text == "" || e.Text == reply(g.tag) {
			d.t.Errorf("%s after the cut: status %s (%s), %d of %d bytes; it must know that something is missing", g.name, e.Status, e.Message, len(e.Text), len(reply(g.tag)))
		}
		g.do("resume", nil)
	}
	for _, g := range all {
		e := g.ended()
		g.exact(e, true)
		g.l.node = at.base
		g.stored(e)
	}
}

// Kill -9 of the node that writes, while the client is at the other one: the
// client sees a pause and nothing else.
func TestClientsProducerKilled(t *testing.T) {
	t.Parallel()
	d := newDrivers(t)
	c := newCluster(t, crowd)
	l, first := ready(t, c.a.base)
	c.model.slow(pace)
	all := d.guests(l, first, c.b.base, everyKind()...)
	for _, g := range all {
		l.say(g.conversation, g.tag) // at a, which then writes; the client's own sending is a repeat
		g.send()
	}
	written := 0
	for _, g := range all {
		g.reaches(len(reply(g.tag)) / 8)
		if c.writer(l, g.conversation) == c.a {
			written++
		}
	}
	c.a.kill()
	l.node = c.b.base
	recovered := 0
	for _, g := range all {
		e := g.until("the end", func(e told) bool {
			if e.State == "recovering" {
				recovered++
			}
			return e.Event == "ended"
		})
		g.exact(e, false)
		g.stored(e)
	}
	if written < len(all)/2 || recovered == 0 {
		t.Errorf("%d of %d were written by the node that was killed, %d were told of the recovery", written, len(all), recovered)
	}
}

// Kill -9 of the node that the clients are connected to, which writes too.
func TestClientsEdgeKilled(t *testing.T) {
	t.Parallel()
	d := newDrivers(t)
	c := newCluster(t, crowd)
	l, first := ready(t, c.a.base)
	c.model.slow(pace)
	all := d.guests(l, first, c.a.base, everyKind()...)
	for _, g := range all {
		g.send()
	}
	for _, g := range all {
		g.reaches(len(reply(g.tag)) / 8)
	}
	c.a.kill()
	d.resumed(all, c.b)
}

// A node that leaves never ends an unfinished answer cleanly.
func TestClientsDrained(t *testing.T) {
	t.Parallel()
	d := newDrivers(t)
	c := newCluster(t, "FLUENTPRO_DRAIN=1s")
	l, first := ready(t, c.a.base)
	c.model.slow(2 * pace)
	all := d.guests(l, first, c.a.base, append(append([]string{}, aiKinds...), aguiKinds...)...)
	for _, g := range all {
		g.send()
	}
	for _, g := range all {
		g.reaches(len(reply(g.tag)) / 16)
	}
	c.a.signal(syscall.SIGTERM)
	d.resumed(all, c.b)
}
