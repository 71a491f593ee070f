// Package once sends each mail once, by its key, over any mail.Sender. A row
// in SQL is claimed before a mail is sent and marked after, so a job that runs
// again sends nothing again.
//
// What no table can know is whether a server took a mail over when the process
// died in between. Then the mail is sent again, after a pause in which a
// sender that was only slow may finish, under the same Message-ID.
package once

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/mail"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Lease is how long a claim keeps others from sending the same mail; no send
// may take longer.
const Lease = 2 * time.Minute

// ErrClaimed says that somebody else is sending this mail, or died doing so.
var ErrClaimed = errors.New("this mail is being sent")

// Sender is a mail.Sender that remembers. It is safe for concurrent use, on
// many nodes.
type Sender struct {
	db   *sqldb.DB
	next mail.Sender
	now  func() time.Time
}

var _ mail.Sender = (*Sender)(nil)

// New makes a Sender over a migrated database; now may be nil.
func New(db *sqldb.DB, next mail.Sender, now func() time.Time) *Sender {
	if now == nil {
		now = time.Now
	}
	return &Sender{db, next, now}
}

// Send sends the message unless one with its key was sent. It must not be
// called in a transaction: the claim has to be there before the mail is.
func (s *Sender) Send(ctx context.Context, m mail.Message) error {
	if _, inside := s.db.Tx(ctx); inside {
		return errors.New("send mail: called in a transaction")
	}
	claimed, err := s.claim(ctx, m.Key)
	if err != nil || !claimed {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, Lease-10*time.Second)
	defer cancel()
	state := "sent"
	sendErr := s.next.Send(ctx, m)
	if sendErr != nil {
		state = "failed" // not taken over, as far as we were told: free to try again
	}
	// The mark must be set though the caller may have gone.
	mark, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	if _, err := s.db.Conn(mark).ExecContext(mark, "UPDATE mails SET state = ?, at = ? WHERE key = ?", state, sqldb.Micros(s.now()), m.Key); err != nil && sendErr == nil {
		return storage("note mail", err)
	}
	return sendErr
}

// claim tells whether this call is to send.
func (s *Sender) claim(ctx context.Context, key string) (bool, error) {
	now := s.now()
	res, err := s.db.Conn(ctx).ExecContext(ctx, "INSERT INTO mails (key, state, at) VALUES (?, 'sending', ?) "+
		"ON CONFLICT (key) DO UPDATE SET state = 'sending', at = excluded.at WHERE mails.state = 'failed' OR mails.state = 'sending' AND mails.at < ?",
		key, sqldb.Micros(now), sqldb.Micros(now.Add(-Lease)))
	if err != nil {
		return false, storage("claim mail", err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return false, storage("claim mail", err)
	} else if n == 1 {
		return true, nil
	}
	var state string
	if err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT state FROM mails WHERE key = ?", key).Scan(&state); err != nil {
		return false, storage("claim mail", err)
	}
	if state != "sent" {
		return false, ErrClaimed
	}
	return false, nil
}

// Forget removes what was noted before a time, and tells how much.
func (s *Sender) Forget(ctx context.Context, before time.Time) (int64, error) {
	res, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM mails WHERE at < ?", sqldb.Micros(before))
	if err != nil {
		return 0, storage("forget mails", err)
	}
	n, err := res.RowsAffected()
	return n, storage("forget mails", err)
}

func storage(op string, err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fmt.Errorf("%s: %w", op, err), fault.StorageUnavailable, "Storage does not answer; try again.")
}
