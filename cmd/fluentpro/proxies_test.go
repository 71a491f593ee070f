package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// snippet is what docs/proxies.md recommends, with this test's addresses.
func snippet(t *testing.T, language string, replace ...string) string {
	t.Helper()
	raw, err := os.ReadFile("../../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(raw)
	if m == nil {
		t.Fatalf("docs/proxies.md has no %s snippet", language)
	}
	text := string(m[1])
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("the %s snippet has no %q", language, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

// certificate writes one for 127.0.0.1 and returns its files and a pool.
func certificate(t *testing.T, dir string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, b := range map[string][]byte{cert: certPEM, key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return cert, key, pool
}

// background runs a proxy until the test ends, and returns when it listens.
func background(t *testing.T, addr, dir, bin string, args ...string) {
	t.Helper()
	cmd := exec.Command(testenv.Tool(t, bin), args...)
	out := &talk{}
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			_, _ = fmt.Fprintf(t.Output(), "---- %s said, at the end:\n%s\n", bin, tail(out.String(), 3000))
		}
	})
	testenv.Eventually(t, soon, func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", bin, err, tail(out.String(), 2000))
		}
		return c.Close()
	})
}

// nginx serves plain text at the first address and, with TLS, HTTP/2 at the
// second.
func nginx(t *testing.T, server string) (plain, secure string, pool *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir)
	plain, secure = fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	text := strings.NewReplacer("PLAIN", plain, "SECURE", secure, "CERT", cert, "KEY", key).Replace(server)
	conf := "worker_processes 1;\ndaemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr warn;\nevents { worker_connections 512; }\nhttp {\naccess_log off;\n"
	for _, p := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += p + "_temp_path " + filepath.Join(dir, p) + ";\n"
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf+text+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, plain, dir, "nginx", "-p", dir, "-e", "stderr", "-c", path)
	return plain, secure, pool
}

func caddy(t *testing.T, site string) (plain, secure string, pool *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir)
	plain, secure = fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	head := "{\n\tadmin off\n\tauto_https off\n}\n"
	text := head + strings.Replace(site, "app.example.com {", "http://"+plain+" {", 1) +
		strings.Replace(site, "app.example.com {", "https://"+secure+" {\n\ttls "+cert+" "+key, 1)
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, plain, dir, "caddy", "run", "--config", path, "--adapter", "caddyfile")
	return plain, secure, pool
}

// Everybody's clients through both proxies with the recommended settings.
func TestProxiesPassEveryClient(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nginx", "caddy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			plain, secure, pool := proxyFor(t, name, c.a.addr())
			d := newDrivers(t)
			l, first := ready(t, c.a.base)
			c.model.slow(pace)
			all := d.guests(l, first, "http://"+plain, append(everyKind(), "own")...)
			for _, g := range all {
				g.send()
			}
			h1, h2 := overTLS(t, pool, false), overTLS(t, pool, true)
			l.streams(t, h1, "https://"+secure, 1)
			l.streams(t, h2, "https://"+secure, 2)
			for _, g := range all {
				g.reaches(len(reply(g.tag)) / 8)
			}
			for _, g := range all {
				e := g.ended()
				if g.kind == "own" {
					g.kind = "ws" // shows the turns before, too
				}
				g.exact(e, false)
			}
			l.cutBehind(t, c, name == "nginx", h1, h2, "https://"+secure)
		})
	}
}

func proxyFor(t *testing.T, name, node string) (plain, secure string, pool *x509.CertPool) {
	t.Helper()
	if name == "caddy" {
		return caddy(t, snippet(t, "caddy", "127.0.0.1:8080", node))
	}
	return nginx(t, snippet(t, "nginx", "127.0.0.1:8080", node, "listen 443 ssl http2;", "listen PLAIN; listen SECURE ssl http2;",
		"/etc/ssl/app.example.com.pem", "CERT", "/etc/ssl/app.example.com.key", "KEY"))
}

// nginx as it comes: no upgrade, HTTP/1.0 behind. Our client falls back.
func TestProxyWithBareDefaults(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	plain, _, _ := nginx(t, "server { listen PLAIN; location / { proxy_pass "+c.a.base+"; } }")
	d := newDrivers(t)
	l, first := ready(t, c.a.base)
	c.model.slow(pace / 2)
	all := d.guests(l, first, "http://"+plain, "own", "eventsource", "ai-6", "ag-ui-1")
	for _, g := range all {
		g.send()
	}
	for _, g := range all {
		fell := false
		e := g.until("the end", func(e told) bool {
			fell = fell || e.Event == "status" && (e.Reason == "sse" || e.Reason == "poll")
			return e.Event == "ended"
		})
		if g.kind == "own" {
			if g.kind = "ws"; !fell {
				t.Error("our client never said that it fell back")
			}
		}
		g.exact(e, false)
	}
}

// idleScale shortens the proxy's limit of 60 s and our own times alike, so that
// the test waits for twice the limit in seconds.
const idleScale = 6

// A conversation in which nothing happens stays connected through a proxy that
// cuts what is silent for 60 s, over HTTP/1.1 and HTTP/2. The limit and the
// default times of ping and heartbeat are divided by the same number; what has
// to hold is their relation. TestDefaultsFitProxies holds the times themselves.
func TestProxyIdleLimit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out by -short: takes half a minute of silence")
	}
	cfg, err := configs.Load(configs.Input{})
	if err != nil {
		t.Fatal(err)
	}
	const limit = 60 * time.Second / idleScale
	c := newCluster(t, "FLUENTPRO_WIRE_PING="+(cfg.Wire.Ping/idleScale).String(), "FLUENTPRO_WIRE_HEARTBEAT="+(cfg.Wire.Heartbeat/idleScale).String())
	plain, secure, pool := nginx(t, strings.Replace(snippet(t, "nginx", "127.0.0.1:8080", c.a.addr(), "listen 443 ssl http2;", "listen PLAIN; listen SECURE ssl http2;",
		"/etc/ssl/app.example.com.pem", "CERT", "/etc/ssl/app.example.com.key", "KEY"), "proxy_read_timeout 60s", fmt.Sprintf("proxy_read_timeout %ds", limit/time.Second), 1))
	d := newDrivers(t)
	l, first := ready(t, c.a.base)
	all := d.guests(l, first, "http://"+plain, nativeKinds...)
	for _, g := range all {
		g.send()
		g.exact(g.ended(), false)
	}
	quiet := l.converse()
	streams := map[string]*silent{}
	for major, h2 := range map[int]bool{1: false, 2: true} {
		streams[fmt.Sprintf("HTTP/%d", major)] = l.listen(t, overTLS(t, pool, h2), "https://"+secure, quiet, major)
	}
	<-time.After(2*limit + time.Second)
	for name, s := range streams {
		if err := s.over.Load(); err != nil || s.beats.Load() < 4 {
			t.Errorf("an event stream over %s: %d heartbeats, ended: %v", name, s.beats.Load(), err)
		}
	}
	tag := newTag()
	l.say(quiet, tag)
	for name, s := range streams {
		testenv.EventuallyTrue(t, soon, "the reply over "+name, func() bool { return s.done.Load() })
	}
	for _, g := range all {
		g.tag = newTag()
		g.send()
		e := g.until("the end", func(e told) bool {
			if e.State == "disconnected" {
				t.Errorf("%s was cut while nothing happened", g.name)
			}
			return e.Event == "ended"
		})
		g.exact(e, false)
	}
}

// TestDefaultsFitProxies: with the default times nothing is silent for half of
// the 60 s after which proxies cut.
func TestDefaultsFitProxies(t *testing.T) {
	t.Parallel()
	cfg, err := configs.Load(configs.Input{})
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]time.Duration{"ping": cfg.Wire.Ping, "heartbeat": cfg.Wire.Heartbeat} {
		if d <= 0 || d > 30*time.Second {
			t.Errorf("%s is %v", name, d)
		}
	}
}

// silent is one event stream, read line by line; it never connects again.
type silent struct {
	beats atomic.Int64
	done  atomic.Bool
	over  atomic.Pointer[error]
}

func (l *learner) listen(t *testing.T, web *http.Client, base, conversation string, major int) *silent {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v2/conversations/"+conversation+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.ProtoMajor != major || res.StatusCode != http.StatusOK {
		t.Fatalf("HTTP/%d: %s %s", major, res.Proto, res.Status)
	}
	s := &silent{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sc := bufio.NewScanner(res.Body)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			switch {
			case sc.Text() == "event: hb":
				s.beats.Add(1)
			case strings.Contains(sc.Text(), `"partner.completed"`):
				s.done.Store(true)
			}
		}
		err := fmt.Errorf("the stream ended: %w", errors.Join(sc.Err(), io.EOF))
		s.over.Store(&err)
	}()
	t.Cleanup(func() { cancel(); _ = res.Body.Close(); <-ended })
	return s
}

// overTLS is a client that speaks HTTP/1.1 or HTTP/2 only.
func overTLS(t *testing.T, pool *x509.CertPool, h2 bool) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// streams reads a reply over our transports and as a UI message stream.
func (l *learner) streams(t *testing.T, web *http.Client, base string, major int) {
	t.Helper()
	who := *l
	who.http = web
	conversation := l.converse()
	over := []client.Transport{client.OverSSE, client.OverPoll}
	if major == 1 {
		over = append(over, client.OverWS)
	}
	views := map[string]*client.View{}
	for _, tr := range over {
		v := who.watch(tr, conversation, base)
		until(t, v, string(tr)+": something seen", func(f *client.Fold) bool { return f.Cursor() != "" })
		views[fmt.Sprintf("%s over HTTP/%d", tr, major)] = v
	}
	tag := newTag()
	res := who.chat(t, base, conversation, tag)
	defer drainBody(res)
	if res.ProtoMajor != major || res.StatusCode != http.StatusOK {
		t.Fatalf("HTTP/%d, %s", res.ProtoMajor, res.Status)
	}
	var text strings.Builder
	first := time.Time{}
	sc := bufio.NewScanner(res.Body)
	for sc.Scan() {
		if _, delta, ok := strings.Cut(sc.Text(), `"delta":"`); ok {
			if first.IsZero() {
				first = time.Now()
			}
			text.WriteString(strings.TrimSuffix(delta, `"}`))
		}
	}
	if text.String() != reply(tag) || sc.Err() != nil || time.Since(first) < tokens*pace/4 {
		t.Errorf("UI messages over HTTP/%d: %s, %v, within %v", major, differ(text.String(), reply(tag)), sc.Err(), time.Since(first))
	}
	for name, v := range views {
		var run int64
		v.Look(func(f *client.Fold) {
			for _, turn := range f.Turns {
				if turn.ClientID == tag {
					run = turn.Run
				}
			}
		})
		ends(t, name, v, run, reply(tag))
	}
}

// chat posts a message as the AI SDK does.
func (l *learner) chat(t *testing.T, base, conversation, tag string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	t.Cleanup(cancel)
	body := fmt.Sprintf(`{"id":%q,"messages":[{"id":%q,"role":"user","parts":[{"type":"text","text":%q}]}],"trigger":"submit-message"}`, conversation, tag, message(tag))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/chat", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+l.token)
	res, err := l.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// cutBehind kills the node behind the proxy in mid-answer. nginx passes the cut
// on; Caddy 2.6 ends the answer cleanly, but then without its last chunks.
func (l *learner) cutBehind(t *testing.T, c *cluster, passes bool, h1, h2 *http.Client, base string) {
	t.Helper()
	type answer struct {
		sc    *bufio.Scanner
		close func() error
	}
	var all []answer
	for _, web := range []*http.Client{h1, h2} {
		conversation := l.converse()
		who := *l
		who.http = web
		res := who.chat(t, base, conversation, newTag())
		sc := bufio.NewScanner(res.Body)
		for n := 0; n < 10 && sc.Scan(); {
			if strings.Contains(sc.Text(), "text-delta") {
				n++
			}
		}
		all = append(all, answer{sc, res.Body.Close})
	}
	c.a.kill()
	for i, a := range all {
		whole := false
		for a.sc.Scan() {
			whole = whole || strings.Contains(a.sc.Text(), `"finish"`) || strings.Contains(a.sc.Text(), "[DONE]")
		}
		if err := a.sc.Err(); whole || passes && err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("over HTTP/%d the answer that was cut behind the proxy ended with %v, whole: %v", i+1, err, whole)
		}
		_ = a.close()
	}
}
