package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Server is where and how SMTP goes.
type Server struct {
	// Addr is host:port, Host the name that its certificate must have.
	Addr, Host string
	// User and Password sign in, where User is set.
	User, Password string
	// TLS is "implicit" (smtps), "starttls" or "none".
	TLS string
}

// ParseURL reads smtp://[user:password@]host[:port][?tls=starttls|none] and
// smtps://…. smtp wants STARTTLS, unless the server is this machine or the URL
// says tls=none; a password is never sent in the clear to another machine. The
// errors name no part of the URL, which may hold a password.
func ParseURL(raw string) (Server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return Server{}, errors.New("is not a URL with a host; write smtp://user:password@host:587, special characters percent-encoded")
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return Server{}, errors.New("has more than a host and a port")
	}
	s := Server{Host: u.Hostname(), User: u.User.Username()}
	s.Password, _ = u.User.Password()
	if (s.User == "") != (s.Password == "") {
		return Server{}, errors.New("needs both a user and a password, or neither")
	}
	port := u.Port()
	query := u.Query()
	want := query.Get("tls")
	query.Del("tls")
	if len(query) > 0 {
		return Server{}, errors.New("has a parameter other than tls")
	}
	switch u.Scheme {
	case "smtps":
		if want != "" {
			return Server{}, errors.New("is smtps, which has no parameter tls")
		}
		s.TLS = "implicit"
		if port == "" {
			port = "465"
		}
	case "smtp":
		switch {
		case want == "starttls" || want == "none":
			s.TLS = want
		case want != "":
			return Server{}, errors.New("has a parameter tls that is neither starttls nor none")
		case thisMachine(s.Host):
			s.TLS = "none"
		default:
			s.TLS = "starttls"
		}
		if port == "" {
			port = "587"
		}
	default:
		return Server{}, errors.New("must begin with smtp:// or smtps://")
	}
	if s.User != "" && s.TLS == "none" && !thisMachine(s.Host) {
		return Server{}, errors.New("would send its password in the clear; leave out tls=none")
	}
	s.Addr = net.JoinHostPort(s.Host, port)
	return s, nil
}

func thisMachine(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// SMTP sends each message over a connection of its own.
type SMTP struct {
	server Server
	from   *mail.Address
	opts   SMTPOptions
}

// SMTPOptions tune an SMTP; zero values mean the defaults in brackets.
type SMTPOptions struct {
	// Timeout bounds one message from dialling to the server's last word [30 s].
	Timeout time.Duration
	// Hello is the name this machine gives itself ["localhost"].
	Hello string
	// TLS is for tests with certificates of their own; the server's name is
	// set here.
	TLS *tls.Config
	// Now is the clock of the Date header [time.Now].
	Now func() time.Time
}

var _ Sender = (*SMTP)(nil)

// NewSMTP makes an SMTP.
func NewSMTP(server Server, from *mail.Address, opts SMTPOptions) *SMTP {
	if opts.Timeout <= 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Hello == "" {
		opts.Hello = "localhost"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.TLS == nil {
		opts.TLS = &tls.Config{}
	}
	opts.TLS = opts.TLS.Clone()
	opts.TLS.ServerName, opts.TLS.MinVersion = server.Host, tls.VersionTLS12
	return &SMTP{server, from, opts}
}

// Send brings the message to the server.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	body, err := m.render(s.from, s.opts.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	if err := s.send(ctx, m.To, body); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return &sendError{err, m.To}
	}
	return nil
}

// sendError keeps the recipient's address, which servers like to quote, out
// of what is logged and stored.
type sendError struct {
	err error
	to  string
}

func (e *sendError) Error() string {
	// Some fold the case, some quote only what stands before the @.
	local, _, _ := strings.Cut(e.to, "@")
	quoted := regexp.MustCompile("(?i)" + regexp.QuoteMeta(e.to) + "|" + `\b` + regexp.QuoteMeta(local) + `\b`)
	return "send mail: " + quoted.ReplaceAllLiteralString(e.err.Error(), "(recipient)")
}
func (e *sendError) Unwrap() error { return e.err }

func (s *SMTP) send(ctx context.Context, to string, body []byte) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.server.Addr)
	if err != nil {
		return err
	}
	// The end of ctx ends whatever waits on the connection.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer func() { _ = conn.Close() }()
	if s.server.TLS == "implicit" {
		t := tls.Client(conn, s.opts.TLS)
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = t
	}
	c, err := smtp.NewClient(conn, s.server.Host)
	if err != nil {
		return err
	}
	if err := c.Hello(s.opts.Hello); err != nil {
		return err
	}
	if s.server.TLS == "starttls" {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server offers no STARTTLS; nothing was sent")
		}
		if err := c.StartTLS(s.opts.TLS); err != nil {
			return err
		}
	}
	if s.server.User != "" {
		if err := c.Auth(smtp.PlainAuth("", s.server.User, s.server.Password, s.server.Host)); err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
	}
	if err := final(c.Mail(s.from.Address)); err != nil {
		return err
	}
	if err := final(c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return final(err)
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return final(err)
	}
	_ = c.Quit() // the message is taken over; what follows is manners
	return nil
}

// final marks a refusal of this message. A refusal of the connection or of the
// password is about us, and mended by an operator.
func final(err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 && reply.Code < 600 {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
