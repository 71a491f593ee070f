// Package mail writes plain-text mails and brings them to an SMTP server, or,
// where there is none, to files that a developer can open.
package mail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is one mail to one person.
type Message struct {
	// To is a bare address, Name the person's, which may be empty.
	To, Name string
	// Subject is one line, at most 200 characters.
	Subject string
	// Text is the body, plain text with lines of any length, at most 256 KiB.
	Text string
	// Key names the mail: the same key gives the same Message-ID, and in files
	// the same file. It must not be empty.
	Key string
}

// Sender brings messages on their way. It is safe for concurrent use.
type Sender interface {
	// Send returns when the message was taken over. ErrRefused marks what no
	// repetition will mend.
	Send(ctx context.Context, m Message) error
}

// ErrRefused says that this message will never be taken: it is malformed, or
// the server refused it for good.
var ErrRefused = errors.New("mail refused")

const (
	maxSubject = 200
	maxName    = 100
	maxText    = 256 << 10
)

// ParseFrom checks a sender's address, "Name <address>" or bare.
func ParseFrom(s string) (*mail.Address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || oneLine(s) != nil {
		return nil, errors.New("is not an address; write name@example.com or Name <name@example.com>")
	}
	return a, nil
}

// oneLine refuses what could end a header and begin another one.
func oneLine(s string) error {
	if strings.ContainsAny(s, "\r\n\x00") || !utf8.ValidString(s) {
		return errors.New("has a line break or is no text")
	}
	return nil
}

func (m Message) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: the %s cannot be used", ErrRefused, what) }
	a, err := mail.ParseAddress(m.To)
	switch {
	case err != nil || a.Address != m.To || a.Name != "" || oneLine(m.To) != nil || strings.ContainsAny(m.To, " <>\""):
		return bad("address")
	case oneLine(m.Name) != nil || utf8.RuneCountInString(m.Name) > maxName:
		return bad("name")
	case oneLine(m.Subject) != nil || m.Subject == "" || utf8.RuneCountInString(m.Subject) > maxSubject:
		return bad("subject")
	case !utf8.ValidString(m.Text) || strings.Contains(m.Text, "\x00") || len(m.Text) > maxText:
		return bad("text")
	case m.Key == "":
		return bad("key")
	}
	return nil
}

// id is the same for each try of a message, so that a mail program shows one
// of two that were sent because an answer was lost.
func (m Message) id() string {
	sum := sha256.Sum256([]byte(m.Key))
	return hex.EncodeToString(sum[:16])
}

// render writes the message as RFC 5322 has it.
func (m Message) render(from *mail.Address, at time.Time) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	var b bytes.Buffer
	header := func(name, value string) { _, _ = fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", from.String())
	header("To", (&mail.Address{Name: m.Name, Address: m.To}).String())
	header("Subject", mime.QEncoding.Encode("utf-8", m.Subject))
	header("Date", at.UTC().Format(time.RFC1123Z))
	header("Message-ID", "<"+m.id()+"@"+domain+">")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	// Nobody's holiday reply should come back.
	header("Auto-Submitted", "auto-generated")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.ReplaceAll(m.Text, "\r\n", "\n"))); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	return b.Bytes(), nil
}
