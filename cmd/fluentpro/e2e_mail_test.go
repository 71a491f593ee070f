package main

import (
	"bufio"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// postbox is an SMTP server that takes everything, and can be away.
type postbox struct {
	t     *testing.T
	addr  string
	l     net.Listener
	conns sync.WaitGroup

	mu sync.Mutex
	// got is subject by recipient, one for each mail taken; ids are the
	// Message-IDs.
	got map[string][]string
	ids map[string]int
	// refuse, when set, is the answer to every recipient, who is quoted in it.
	refuse string
}

func newPostbox(t *testing.T) *postbox {
	t.Helper()
	b := &postbox{t: t, addr: net.JoinHostPort("127.0.0.1", "0"), got: map[string][]string{}, ids: map[string]int{}}
	b.open()
	b.addr = b.l.Addr().String()
	t.Cleanup(b.close)
	return b
}

func (b *postbox) open() {
	b.t.Helper()
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.l = l
	b.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.conns.Go(func() { defer func() { _ = c.Close() }(); b.serve(c) })
		}
	})
}

// close waits for the mails in hand, so that none is cut.
func (b *postbox) close() {
	_ = b.l.Close()
	b.conns.Wait()
}

func (b *postbox) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r := textproto.NewReader(bufio.NewReader(c))
	for answer := "220 test"; ; {
		if _, err := c.Write([]byte(answer + "\r\n")); err != nil {
			return
		}
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "QUIT":
			return
		case "RCPT":
			b.mu.Lock()
			refuse := b.refuse
			b.mu.Unlock()
			if refuse != "" {
				answer = refuse + " " + line
				continue
			}
		case "DATA":
			if _, err := c.Write([]byte("354 go on\r\n")); err != nil {
				return
			}
			m, err := mail.ReadMessage(bufio.NewReader(r.DotReader()))
			if err != nil {
				return
			}
			to, err := m.Header.AddressList("To")
			if err != nil {
				return
			}
			b.mu.Lock()
			b.got[to[0].Address] = append(b.got[to[0].Address], m.Header.Get("Subject"))
			b.ids[m.Header.Get("Message-ID")]++
			b.mu.Unlock()
		}
		answer = "250 fine"
	}
}

func (b *postbox) count() (mails int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.got {
		mails += len(s)
	}
	return mails
}

// TestE2EMailsOnce signs twenty learners up on two nodes while the mail server
// is away, kills one node, wipes Redis, and wants each learner's two mails once.
func TestE2EMailsOnce(t *testing.T) {
	t.Parallel()
	box := newPostbox(t)
	box.close()
	env := []string{"FLUENTPRO_SMTP_URL=smtp://" + box.addr, "FLUENTPRO_MAIL_FROM=FluentPro <no-reply@example.com>",
		"FLUENTPRO_PUBLIC_URL=https://english.example.com", "FLUENTPRO_JOBS_POLL=50ms", "FLUENTPRO_ACCOUNTS_SIGN_UP=immediate"}
	c := newCluster(t, env...)
	for i := range 20 {
		signUp(t, []*process{c.a, c.b}[i%2].base)
	}
	c.b.kill()
	c.redis.Flush()
	box.open()
	testenv.EventuallyTrue(t, 4*time.Minute, "forty mails", func() bool { return box.count() >= 40 })
	// Nothing more may come: another node starts, and finds all done.
	c.node("c", env...)
	c.a.alive()
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.got) != 20 || len(box.ids) != 40 {
		t.Fatalf("%d learners and %d mails, want 20 and 40", len(box.got), len(box.ids))
	}
	for to, subjects := range box.got {
		if len(subjects) != 2 || subjects[0] == subjects[1] {
			t.Errorf("%s got %q, want a welcome and a link", to, subjects)
		}
	}
}

// TestE2EMailFiles is a developer's first sign-up.
func TestE2EMailFiles(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := start(t, "embedded", "FLUENTPRO_DATA_DIR="+data, "FLUENTPRO_JOBS_POLL=50ms")
	if said := p.out.String(); !strings.Contains(said, "Mail     to files in "+filepath.Join(data, "mail")) {
		t.Errorf("the greeting does not say where mails go:\n%s", said)
	}
	signUp(t, p.base)
	links := 0
	testenv.EventuallyTrue(t, time.Minute, "two mails", func() bool {
		files, err := filepath.Glob(filepath.Join(data, "mail", "*.eml"))
		if err != nil || len(files) != 2 {
			return false
		}
		links = 0
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(strings.ReplaceAll(string(b), "=\r\n", ""), p.base+"/#/verify-email/") {
				links++
			}
		}
		return true
	})
	if links != 1 {
		t.Errorf("%d of the mails have the link that proves the address, want 1", links)
	}
}
