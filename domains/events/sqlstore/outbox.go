package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Seal gives positions in the order of insertion. Within an aggregate that is
// its order, because an append waits for the commit of the one before.
func (s *Store) Seal(ctx context.Context, limit int) (n int, err error) {
	// Most of the time there is nothing to do, and no lock to take for it.
	var open bool
	if err := s.db.Conn(ctx).QueryRowContext(ctx,
		"SELECT EXISTS (SELECT 1 FROM event_outbox WHERE position IS NULL)").Scan(&open); err != nil || !open {
		return 0, failed("seal events", err)
	}
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		conn := s.db.Conn(ctx)
		var position int64
		var hash string
		err := conn.QueryRowContext(ctx, "SELECT position, hash FROM event_seal WHERE id = 1"+s.db.SkipLocked()).Scan(&position, &hash)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another node is at it
		}
		if err != nil {
			return err
		}
		ids, err := s.pairs(ctx, "SELECT o.event, e.hash FROM event_outbox o JOIN events e ON e.id = o.event WHERE o.position IS NULL ORDER BY o.n LIMIT ?", limit)
		if err != nil {
			return err
		}
		now := sqldb.Micros(s.opts.Now())
		for _, p := range ids {
			position++
			hash = sealed(hash, position, p[1])
			if _, err := conn.ExecContext(ctx, "INSERT INTO event_log (position, event, hash, sealed_at) VALUES (?, ?, ?, ?)", position, p[0], hash, now); err != nil {
				return err
			}
			if _, err := conn.ExecContext(ctx, "UPDATE event_outbox SET position = ? WHERE event = ?", position, p[0]); err != nil {
				return err
			}
		}
		n = len(ids)
		_, err = conn.ExecContext(ctx, "UPDATE event_seal SET position = ?, hash = ? WHERE id = 1", position, hash)
		return err
	})
	if err != nil {
		return 0, failed("seal events", err)
	}
	return n, nil
}

func (s *Store) pairs(ctx context.Context, query string, args ...any) (out [][2]string, err error) {
	rows, err := s.db.Conn(ctx).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var p [2]string
		if err := rows.Scan(&p[0], &p[1]); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// Unsent lists the outbox behind a position.
func (s *Store) Unsent(ctx context.Context, after int64, limit int) ([]events.Event, error) {
	rows, err := s.rows(ctx, "SELECT "+columns+joined+" JOIN event_outbox o ON o.event = e.id WHERE o.position > ? ORDER BY o.position LIMIT ?", after, limit)
	return plain(rows), failed("read outbox", err)
}

// Last is the newest position.
func (s *Store) Last(ctx context.Context) (n int64, err error) {
	err = s.db.Conn(ctx).QueryRowContext(ctx, "SELECT position FROM event_seal WHERE id = 1").Scan(&n)
	return n, failed("read seal", err)
}

// settledOnes are the outcomes after which a group needs an event no more.
const settledOnes = "('done', 'dead', 'dropped', 'replay')"

// Settle removes rows type by type, because each type has its own groups.
func (s *Store) Settle(ctx context.Context, upTo int64, wants events.Wants) (lowest int64, err error) {
	conn := s.db.Conn(ctx)
	var wanted []string
	for t, groups := range byType(wants) {
		wanted = append(wanted, t)
		if _, err := conn.ExecContext(ctx, "DELETE FROM event_outbox WHERE type = ? AND position <= ? AND "+
			"(SELECT count(*) FROM event_handled h WHERE h.event = event_outbox.event AND h.outcome IN "+settledOnes+" AND h.grp IN ("+marks(len(groups))+")) = ?",
			append(append([]any{t, upTo}, anys(groups)...), len(groups))...); err != nil {
			return 0, failed("settle events", err)
		}
	}
	if _, err := conn.ExecContext(ctx, "DELETE FROM event_outbox WHERE position <= ? AND type NOT IN ("+marks(len(wanted))+")",
		append([]any{upTo}, anys(wanted)...)...); err != nil {
		return 0, failed("settle events", err)
	}
	err = conn.QueryRowContext(ctx, "SELECT COALESCE(min(position), 0) FROM event_outbox").Scan(&lowest)
	return lowest, failed("settle events", err)
}

func byType(wants events.Wants) map[string][]string {
	out := map[string][]string{}
	for group, types := range wants {
		for _, t := range types {
			out[t] = append(out[t], group)
		}
	}
	return out
}

// marks are n placeholders; none is a list that holds nothing.
func marks(n int) string {
	if n == 0 {
		return "''"
	}
	return strings.Repeat("?, ", n-1) + "?"
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// Deliver notes and handles in one transaction.
func (s *Store) Deliver(ctx context.Context, group string, types []string, e events.Event, retry events.Retry, fn func(context.Context) error) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		conn := s.db.Conn(ctx)
		var outcome events.Outcome
		var tries int
		var at int64
		err := conn.QueryRowContext(ctx, "SELECT outcome, tries, at FROM event_handled WHERE grp = ? AND event = ?"+s.db.ForUpdate(), group, e.ID).Scan(&outcome, &tries, &at)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return failed("deliver event", err)
		case outcome == events.Failing:
			if s.opts.Now().Before(retry.Due(tries, time.UnixMicro(at))) {
				return events.ErrNotYet
			}
		case outcome != events.Replay:
			return events.ErrSettled
		}
		// Two nodes may have the same event: the second waits here for the
		// first one's commit.
		res, err := conn.ExecContext(ctx, "INSERT INTO event_handled (grp, event, outcome, tries, reason, at) VALUES (?, ?, 'done', 1, '', ?) "+
			"ON CONFLICT (grp, event) DO UPDATE SET outcome = 'done', tries = event_handled.tries + 1, reason = '', at = excluded.at "+
			"WHERE event_handled.outcome IN ('failing', 'replay')", group, e.ID, sqldb.Micros(s.opts.Now()))
		if err != nil {
			return failed("deliver event", err)
		}
		if n, err := res.RowsAffected(); err != nil {
			return failed("deliver event", err)
		} else if n == 0 {
			return events.ErrSettled
		}
		var earlier events.Outcome
		err = conn.QueryRowContext(ctx, "SELECT COALESCE(h.outcome, '') FROM event_outbox o JOIN events e ON e.id = o.event "+
			"LEFT JOIN event_handled h ON h.grp = ? AND h.event = e.id "+
			"WHERE e.kind = ? AND e.aggregate = ? AND e.seq < ? AND e.type IN ("+marks(len(types))+") AND (h.outcome IS NULL OR h.outcome NOT IN "+settledOnes+") "+
			"ORDER BY e.seq LIMIT 1",
			append([]any{group, e.Aggregate.Kind, e.Aggregate.ID, e.Sequence}, anys(types)...)...).Scan(&earlier)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return failed("deliver event", err)
		case earlier == events.Failing:
			return events.ErrNotYet
		default:
			return events.ErrEarlier
		}
		return fn(ctx)
	})
}

// maxReason bounds the reason of a dead letter, in bytes.
const maxReason = 500

// Fail counts a failure.
func (s *Store) Fail(ctx context.Context, group string, e events.Event, retry events.Retry, reason string) (out events.Outcome, err error) {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	reason = strings.ReplaceAll(reason, "\x00", "")
	first := events.Failing
	if retry.Tries <= 1 {
		first = events.Dead
	}
	// A replay that fails is dead again at once: an operator asked for one try.
	err = s.db.Conn(ctx).QueryRowContext(ctx, "INSERT INTO event_handled (grp, event, outcome, tries, reason, at) VALUES (?, ?, ?, 1, ?, ?) "+
		"ON CONFLICT (grp, event) DO UPDATE SET tries = event_handled.tries + 1, reason = excluded.reason, at = excluded.at, "+
		"outcome = CASE WHEN event_handled.outcome = 'replay' OR event_handled.tries + 1 >= ? THEN 'dead' ELSE 'failing' END "+
		"WHERE event_handled.outcome IN ('failing', 'replay') RETURNING outcome",
		group, e.ID, string(first), reason, sqldb.Micros(s.opts.Now()), retry.Tries).Scan(&out)
	if errors.Is(err, sql.ErrNoRows) {
		return events.Done, nil // settled meanwhile by another node
	}
	return out, failed("note failure", err)
}

// Stuck lists what a group should see again.
func (s *Store) Stuck(ctx context.Context, group string, types []string, retry events.Retry, sealedBefore time.Time, limit int) ([]events.Event, error) {
	rows, err := s.rows(ctx, "SELECT "+columns+joined+" JOIN event_handled h ON h.event = e.id WHERE h.grp = ? AND (h.outcome = 'replay' OR h.outcome = 'failing' AND h.at < ?) "+
		"ORDER BY h.at LIMIT ?", group, sqldb.Micros(s.opts.Now().Add(-retry.First)), limit)
	if err == nil && len(rows) < limit {
		var more []row
		more, err = s.rows(ctx, "SELECT "+columns+joined+" JOIN event_outbox o ON o.event = e.id WHERE l.sealed_at < ? AND e.type IN ("+marks(len(types))+") AND NOT EXISTS "+
			"(SELECT 1 FROM event_handled h WHERE h.grp = ? AND h.event = e.id) ORDER BY o.position LIMIT ?",
			append(append([]any{sqldb.Micros(sealedBefore)}, anys(types)...), group, limit-len(rows))...)
		rows = append(rows, more...)
	}
	return plain(rows), failed("read stuck events", err)
}

// Lags counts per group.
func (s *Store) Lags(ctx context.Context, wants events.Wants) ([]events.Lag, error) {
	now := s.opts.Now()
	out := make([]events.Lag, 0, len(wants))
	for _, group := range sortedKeys(wants) {
		types := wants[group]
		l := events.Lag{Group: group}
		var oldest int64
		if err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT count(*), COALESCE(min(e.at), 0) FROM event_outbox o JOIN events e ON e.id = o.event WHERE o.type IN ("+marks(len(types))+") AND NOT EXISTS "+
			"(SELECT 1 FROM event_handled h WHERE h.grp = ? AND h.event = o.event AND h.outcome IN "+settledOnes+")",
			append(anys(types), group)...).Scan(&l.Open, &oldest); err != nil {
			return nil, failed("count open events", err)
		}
		if l.Open > 0 {
			l.Oldest = max(0, now.Sub(time.UnixMicro(oldest)).Seconds())
		}
		if err := s.db.Conn(ctx).QueryRowContext(ctx, "SELECT COALESCE(sum(CASE WHEN outcome IN ('failing', 'replay') THEN 1 ELSE 0 END), 0), "+
			"COALESCE(sum(CASE WHEN outcome = 'dead' THEN 1 ELSE 0 END), 0) FROM event_handled WHERE grp = ? AND outcome <> 'done'", group).Scan(&l.Failing, &l.Dead); err != nil {
			return nil, failed("count letters", err)
		}
		out = append(out, l)
	}
	return out, nil
}

// Letters lists what failed.
func (s *Store) Letters(ctx context.Context, group string, limit int) ([]events.Letter, error) {
	query, args := "SELECT h.grp, h.outcome, h.tries, h.reason, h.at, h.event FROM event_handled h WHERE h.outcome IN ('failing', 'dead', 'replay')", []any{}
	if group != "" {
		query, args = query+" AND h.grp = ?", append(args, group)
	}
	letters, err := func() (out []events.Letter, err error) {
		rows, err := s.db.Conn(ctx).QueryContext(ctx, query+" ORDER BY h.at DESC, h.event LIMIT ?", append(args, limit)...)
		if err != nil {
			return nil, err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var l events.Letter
			var at int64
			if err := rows.Scan(&l.Group, &l.Outcome, &l.Tries, &l.Reason, &at, &l.Event.ID); err != nil {
				return nil, err
			}
			l.At = time.UnixMicro(at).UTC()
			out = append(out, l)
		}
		return out, rows.Err()
	}()
	if err != nil {
		return nil, failed("read letters", err)
	}
	for i := range letters {
		rows, err := s.rows(ctx, "SELECT "+columns+joined+" WHERE e.id = ?", letters[i].Event.ID)
		if err != nil {
			return nil, failed("read letters", err)
		}
		if len(rows) == 1 {
			letters[i].Event = rows[0].Event
		}
	}
	return letters, nil
}

// Reopen lets a dead event be tried again.
func (s *Store) Reopen(ctx context.Context, group, event string) error {
	return s.turn(ctx, group, event, events.Replay)
}

// Drop gives a dead event up.
func (s *Store) Drop(ctx context.Context, group, event string) error {
	return s.turn(ctx, group, event, events.Dropped)
}

func (s *Store) turn(ctx context.Context, group, event string, to events.Outcome) error {
	res, err := s.db.Conn(ctx).ExecContext(ctx, "UPDATE event_handled SET outcome = ?, at = ? WHERE grp = ? AND event = ? AND outcome = 'dead'",
		string(to), sqldb.Micros(s.opts.Now()), group, event)
	if err != nil {
		return failed("change letter", err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return failed("change letter", err)
	} else if n == 0 {
		return errNoLetter
	}
	return nil
}

// Forget removes what groups settled long ago. What is in the outbox stays.
func (s *Store) Forget(ctx context.Context, before time.Time) (int64, error) {
	res, err := s.db.Conn(ctx).ExecContext(ctx, "DELETE FROM event_handled WHERE at < ? AND outcome IN ('done', 'dropped') AND "+
		"NOT EXISTS (SELECT 1 FROM event_outbox o WHERE o.event = event_handled.event)", sqldb.Micros(before))
	if err != nil {
		return 0, failed("forget settled events", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, failed("forget settled events", fmt.Errorf("count: %w", err))
	}
	return n, nil
}
