package mail

import (
	"context"
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"time"
)

// Files writes each message to a file, "<id>.eml", readable by its owner only,
// because the links in it sign people in.
type Files struct {
	dir  string
	from *mail.Address
	now  func() time.Time
}

var _ Sender = (*Files)(nil)

// NewFiles makes a Files; the directory is made with the first mail. now may
// be nil.
func NewFiles(dir string, from *mail.Address, now func() time.Time) *Files {
	if now == nil {
		now = time.Now
	}
	return &Files{dir, from, now}
}

// Send writes the message, whole or not at all. The same key writes the same
// file again.
func (f *Files) Send(_ context.Context, m Message) error {
	body, err := m.render(f.from, f.now())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	tmp, err := os.CreateTemp(f.dir, ".writing-*")
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	_, err = tmp.Write(body)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.dir, m.id()+".eml"))
	}
	if err != nil {
		return fmt.Errorf("write mail: %w", err)
	}
	return nil
}
