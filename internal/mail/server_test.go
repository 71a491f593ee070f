package mail

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// smtpServer is a small SMTP server over real connections.
type smtpServer struct {
	t        *testing.T
	listener net.Listener
	tls      *tls.Config
	roots    *x509.CertPool

	// implicit speaks TLS from the first byte, starttls offers it.
	implicit, starttls bool
	// user and password are asked for, if set.
	user, password string
	// answers override what a command gets ("RCPT": "550 no such user");
	// silent is a command that gets no answer.
	answers map[string]string
	silent  string

	mu    sync.Mutex
	mails []received
	conns sync.WaitGroup
}

type received struct {
	from, to, data string
	encrypted      bool
	auth           string
}

func newServer(t *testing.T, set func(*smtpServer)) *smtpServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &smtpServer{t: t, listener: l, answers: map[string]string{}}
	s.tls, s.roots = certificate(t)
	if set != nil {
		set(s)
	}
	var wg sync.WaitGroup
	var open sync.Map
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, nil)
			s.conns.Go(func() {
				defer func() { open.Delete(c); _ = c.Close() }()
				s.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
		open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		s.conns.Wait()
	})
	return s
}

func (s *smtpServer) addr() string { return s.listener.Addr().String() }

func (s *smtpServer) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.mails...)
}

func (s *smtpServer) serve(c net.Conn) {
	encrypted := s.implicit
	if s.implicit {
		c = tls.Server(c, s.tls)
	}
	r := textproto.NewReader(bufio.NewReader(c))
	say := func(line string) bool { _, err := c.Write([]byte(line + "\r\n")); return err == nil }
	greeting := "220 test ESMTP"
	if a := s.answers["CONNECT"]; a != "" {
		greeting = a
	}
	if s.silent != "CONNECT" && !say(greeting) {
		return
	}
	var m received
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		if verb == s.silent {
			continue
		}
		if a := s.answers[verb]; a != "" {
			if !say(a) {
				return
			}
			continue
		}
		ok := true
		switch verb {
		case "EHLO":
			lines := []string{"test"}
			if s.starttls && !encrypted {
				lines = append(lines, "STARTTLS")
			}
			if s.user != "" {
				lines = append(lines, "AUTH PLAIN")
			}
			for i, l := range lines {
				sep := "-"
				if i == len(lines)-1 {
					sep = " "
				}
				ok = say("250" + sep + l)
			}
		case "STARTTLS":
			if !say("220 go ahead") {
				return
			}
			t := tls.Server(c, s.tls)
			if t.Handshake() != nil {
				return
			}
			c, encrypted = t, true
			r = textproto.NewReader(bufio.NewReader(c))
		case "AUTH":
			b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			m.auth = strings.ReplaceAll(string(b), "\x00", "|")
			if m.auth != "|"+s.user+"|"+s.password {
				ok = say("535 5.7.8 wrong")
			} else {
				ok = say("235 welcome")
			}
		case "MAIL":
			m.from = rest
			ok = say("250 fine")
		case "RCPT":
			m.to = rest
			ok = say("250 fine")
		case "DATA":
			if !say("354 go on") {
				return
			}
			b, err := r.ReadDotBytes()
			if err != nil {
				return
			}
			if a := s.answers["."]; a != "" {
				ok = say(a)
				break
			}
			m.data, m.encrypted = string(b), encrypted
			s.mu.Lock()
			s.mails = append(s.mails, m)
			s.mu.Unlock()
			ok = s.silent == "." || say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			ok = say("500 what")
		}
		if !ok {
			return
		}
	}
}

// certificate is one for 127.0.0.1 that only the returned pool trusts.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
