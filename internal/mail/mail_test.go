package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var from = &mail.Address{Name: "FluentPro", Address: "no-reply@example.com"}

func hello() Message {
	return Message{To: "ana@example.org", Name: "Ana Šarić 陳", Subject: "Grüße, your account", Key: "event-1",
		Text: "Hello Ana,\n\n.a line that begins with a dot\n" + strings.Repeat("long ", 60) + "ü\n\nhttps://example.com/verify-email#token=abc=def\n"}
}

// read parses a mail as a mail program does.
func read(t *testing.T, raw string) (h mail.Header, text string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, strings.ReplaceAll(string(b), "\r\n", "\n")
}

func checkHello(t *testing.T, raw string) {
	t.Helper()
	want := hello()
	h, text := read(t, raw)
	if text != want.Text {
		t.Errorf("text %q, want %q", text, want.Text)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil || subject != want.Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	to, err := h.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Address != want.To || to[0].Name != want.Name {
		t.Errorf("to %v, %v", to, err)
	}
	if id := h.Get("Message-ID"); id != "<"+want.id()+"@example.com>" {
		t.Errorf("id %q", id)
	}
	if h.Get("Auto-Submitted") != "auto-generated" || h.Get("From") != from.String() {
		t.Errorf("headers %v", h)
	}
	for _, line := range strings.Split(raw, "\n") {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func (s *smtpServer) sender(tlsMode string) *SMTP {
	return NewSMTP(Server{Addr: s.addr(), Host: "127.0.0.1", User: s.user, Password: s.password, TLS: tlsMode}, from,
		SMTPOptions{Timeout: time.Minute, TLS: &tls.Config{RootCAs: s.roots}})
}

func TestSMTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tls       string
		set       func(*smtpServer)
		encrypted bool
		auth      string
	}{
		"plain":                  {"none", nil, false, ""},
		"starttls":               {"starttls", func(s *smtpServer) { s.starttls = true }, true, ""},
		"starttls and password":  {"starttls", func(s *smtpServer) { s.starttls, s.user, s.password = true, "u", "p@ss" }, true, "|u|p@ss"},
		"tls":                    {"implicit", func(s *smtpServer) { s.implicit = true }, true, ""},
		"tls and password":       {"implicit", func(s *smtpServer) { s.implicit, s.user, s.password = true, "u", "p" }, true, "|u|p"},
		"password, this machine": {"none", func(s *smtpServer) { s.user, s.password = "u", "p" }, false, "|u|p"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.set)
			if err := s.sender(c.tls).Send(t.Context(), hello()); err != nil {
				t.Fatal(err)
			}
			got := s.got()
			if len(got) != 1 || got[0].encrypted != c.encrypted || got[0].auth != c.auth {
				t.Fatalf("got %+v", got)
			}
			if !strings.HasPrefix(got[0].from, "FROM:<no-reply@example.com>") || !strings.HasPrefix(got[0].to, "TO:<ana@example.org>") {
				t.Fatalf("got %+v", got[0])
			}
			checkHello(t, got[0].data)
		})
	}
}

func TestSMTPRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tls   string
		set   func(*smtpServer)
		final bool
		says  string
	}{
		"no such recipient": {"none", func(s *smtpServer) { s.answers["RCPT"] = "550 5.1.1 <ana@example.org> unknown" }, true, "<(recipient)> unknown"},
		"quoted otherwise":  {"none", func(s *smtpServer) { s.answers["RCPT"] = "550 5.1.1 ANA@EXAMPLE.ORG: user ana unknown" }, true, "(recipient): user (recipient) unknown"},
		"mailbox busy":      {"none", func(s *smtpServer) { s.answers["RCPT"] = "450 4.2.1 later" }, false, "later"},
		"spam":              {"none", func(s *smtpServer) { s.answers["."] = "554 5.7.1 no" }, true, "no"},
		"disk full":         {"none", func(s *smtpServer) { s.answers["."] = "452 4.3.1 full" }, false, "full"},
		"server full":       {"none", func(s *smtpServer) { s.answers["CONNECT"] = "554 go away" }, false, "go away"},
		"no starttls":       {"starttls", nil, false, "offers no STARTTLS"},
		"starttls fails":    {"starttls", func(s *smtpServer) { s.starttls, s.answers["STARTTLS"] = true, "454 not now" }, false, "not now"},
		"wrong password": {"starttls", func(s *smtpServer) {
			s.starttls, s.user, s.password, s.answers["AUTH"] = true, "u", "p", "535 5.7.8 wrong"
		}, false, "sign in"},
		"foreign tls":        {"implicit", func(s *smtpServer) { s.implicit, s.tls = true, &tls.Config{Certificates: foreign(t)} }, false, "certificate"},
		"plain where tls is": {"implicit", nil, false, "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.set)
			err := s.sender(c.tls).Send(t.Context(), hello())
			if err == nil || errors.Is(err, ErrRefused) != c.final || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %q, final %v", err, c.says, c.final)
			}
			if strings.Contains(err.Error(), "ana@example.org") {
				t.Fatalf("%v names the recipient", err)
			}
			if n := len(s.got()); n != 0 {
				t.Fatalf("%d mails were taken", n)
			}
		})
	}
}

func foreign(t *testing.T) []tls.Certificate {
	t.Helper()
	c, _ := certificate(t)
	return c.Certificates
}

func TestSMTPEndsWithItsTime(t *testing.T) {
	t.Parallel()
	for _, silent := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."} {
		t.Run(silent, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(s *smtpServer) { s.silent = silent })
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := s.sender("none").Send(ctx, hello()); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrRefused) {
				t.Fatalf("got %v, want the deadline", err)
			}
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if err := NewSMTP(Server{Addr: addr, TLS: "none"}, from, SMTPOptions{}).Send(t.Context(), hello()); err == nil || errors.Is(err, ErrRefused) {
		t.Fatalf("nobody there: got %v", err)
	}
}

func TestHeadersCannotBeForged(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	dir := t.TempDir()
	for name, spoil := range map[string]func(*Message){
		"line in subject":    func(m *Message) { m.Subject = "hi\r\nBcc: all@example.org" },
		"bare LF in subject": func(m *Message) { m.Subject = "hi\nBcc: all@example.org" },
		"line in name":       func(m *Message) { m.Name = "Ana\r\nBcc: all@example.org" },
		"line in address":    func(m *Message) { m.To = "ana@example.org\r\nRCPT TO:<all@example.org>" },
		"two addresses":      func(m *Message) { m.To = "ana@example.org, eve@example.org" },
		"address with name":  func(m *Message) { m.To = "Ana <ana@example.org>" },
		"no address":         func(m *Message) { m.To = "" },
		"no subject":         func(m *Message) { m.Subject = "" },
		"no key":             func(m *Message) { m.Key = "" },
		"NUL in text":        func(m *Message) { m.Text = "a\x00b" },
		"text too long":      func(m *Message) { m.Text = strings.Repeat("x", maxText+1) },
		"name too long":      func(m *Message) { m.Name = strings.Repeat("x", maxName+1) },
	} {
		m := hello()
		spoil(&m)
		for kind, sender := range map[string]Sender{"smtp": s.sender("none"), "files": NewFiles(dir, from, nil)} {
			if err := sender.Send(t.Context(), m); !errors.Is(err, ErrRefused) {
				t.Errorf("%s, %s: got %v, want ErrRefused", name, kind, err)
			}
		}
	}
	if n := len(s.got()); n != 0 {
		t.Errorf("%d mails were taken", n)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
	// What looks like a header is harmless where it is quoted.
	odd := hello()
	odd.Name, odd.Subject = `Bcc: "x" <eve@example.org>,`, "Bcc: eve@example.org"
	if err := s.sender("none").Send(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	h, _ := read(t, s.got()[0].data)
	if to, err := h.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != odd.To || h.Get("Bcc") != "" {
		t.Fatalf("got %v, %v", h, err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	f := NewFiles(dir, from, nil)
	for range 2 { // the second time is a repetition
		if err := f.Send(t.Context(), hello()); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != hello().id()+".eml" {
		t.Fatalf("got %v, %v, want one file", files, err)
	}
	st, err := files[0].Info()
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	checkHello(t, string(raw))
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]Server{
		"smtp://u:p%40ss@mail.example.com":        {"mail.example.com:587", "mail.example.com", "u", "p@ss", "starttls"},
		"smtp://mail.example.com:25":              {"mail.example.com:25", "mail.example.com", "", "", "starttls"},
		"smtp://mail.example.com:25?tls=none":     {"mail.example.com:25", "mail.example.com", "", "", "none"},
		"smtps://u:p@mail.example.com":            {"mail.example.com:465", "mail.example.com", "u", "p", "implicit"},
		"smtp://127.0.0.1:1025":                   {"127.0.0.1:1025", "127.0.0.1", "", "", "none"},
		"smtp://u:p@localhost:1025/":              {"localhost:1025", "localhost", "u", "p", "none"},
		"smtp://localhost:1025?tls=starttls":      {"localhost:1025", "localhost", "", "", "starttls"},
		"smtp://[::1]":                            {"[::1]:587", "::1", "", "", "none"},
		"smtp://u:p@mail.example.com?tls=none":    {},
		"smtp://u@mail.example.com":               {},
		"smtp://mail.example.com?tls=maybe":       {},
		"smtp://mail.example.com?starttls=never":  {},
		"smtp://mail.example.com/inbox":           {},
		"smtps://mail.example.com?tls=none":       {},
		"http://mail.example.com":                 {},
		"mail.example.com:25":                     {},
		"smtp://":                                 {},
		"smtp://u:s3cret%zz@mail.example.com":     {},
		"smtp://u:s3cret@mail.example.com:notone": {},
	} {
		got, err := ParseURL(raw)
		if got != want || (err == nil) != (want != Server{}) {
			t.Errorf("%s: got %+v, %v, want %+v", raw, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v has the password", raw, err)
		}
	}
}

func TestParseFrom(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"a@example.com": "a@example.com", "FluentPro <a@example.com>": "a@example.com",
		"": "", "nobody": "", "a@example.com\r\nBcc: b@example.com": "", "a@example.com, b@example.com": "",
	} {
		a, err := ParseFrom(s)
		if (err == nil) != (want != "") || err == nil && a.Address != want {
			t.Errorf("%q: got %v, %v", s, a, err)
		}
	}
}
