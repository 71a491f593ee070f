package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
)

const (
	verifyPage  = 500
	maxFindings = 100
)

type verifier struct {
	*Store
	r events.Report
}

func (v *verifier) found(code, format string, args ...any) {
	if len(v.r.Findings) < maxFindings {
		v.r.Findings = append(v.r.Findings, events.Finding{Code: code, Where: fmt.Sprintf(format, args...)})
	}
}

// Verify walks every chain. It reads in pages and takes no lock: rows never
// change but by Erase, and each comparison of two tables is one statement.
func (s *Store) Verify(ctx context.Context, expect string) (events.Report, error) {
	v := &verifier{Store: s}
	v.r.Findings = []events.Finding{}
	var expectAt int64
	var expectHash string
	if expect != "" {
		at, hash, ok := strings.Cut(expect, ":")
		n, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil || n < 0 {
			return v.r, fault.New(fault.BadRequest, "A seal is a position, a colon and a hash.")
		}
		expectAt, expectHash = n, hash
	}
	for _, step := range []func(context.Context) error{v.aggregates, v.heads,
		func(ctx context.Context) error { return v.log(ctx, expectAt, expectHash) }, v.unlogged} {
		if err := step(ctx); err != nil {
			return v.r, failed("verify events", err)
		}
	}
	return v.r, nil
}

// aggregates follows the chain of each aggregate.
func (v *verifier) aggregates(ctx context.Context) error {
	var last row
	for {
		page, err := v.rows(ctx, "SELECT "+columns+joined+
			" WHERE (e.kind, e.aggregate, e.seq) > (?, ?, ?) ORDER BY e.kind, e.aggregate, e.seq LIMIT ?",
			last.Aggregate.Kind, last.Aggregate.ID, last.Sequence, verifyPage)
		if err != nil {
			return err
		}
		for _, r := range page {
			if r.Aggregate != last.Aggregate {
				v.r.Aggregates++
				last = row{Event: events.Event{Aggregate: r.Aggregate}}
			}
			v.r.Events++
			if r.Sequence != last.Sequence+1 {
				v.found("missing", "%s/%s %d", r.Aggregate.Kind, r.Aggregate.ID, last.Sequence+1)
			} else if r.prev != last.hash {
				v.found("reordered", "%s", r.ID)
			}
			if r.chain() != r.hash {
				v.found("changed", "%s", r.ID)
			}
			if r.erased {
				v.r.Erased++
			} else if r.hashData() != r.dataHash {
				v.found("data_changed", "%s", r.ID)
			}
			last = r
		}
		if len(page) < verifyPage {
			return nil
		}
	}
}

// heads compares the newest event of each aggregate with what the head says.
func (v *verifier) heads(ctx context.Context) error {
	return v.each(ctx, "SELECT h.kind || '/' || h.aggregate FROM event_heads h LEFT JOIN events e "+
		"ON e.kind = h.kind AND e.aggregate = h.aggregate AND e.seq = h.seq WHERE e.hash IS NULL OR e.hash <> h.hash "+
		"UNION ALL SELECT e.kind || '/' || e.aggregate FROM events e LEFT JOIN event_heads h "+
		"ON h.kind = e.kind AND h.aggregate = e.aggregate WHERE h.seq IS NULL OR e.seq > h.seq",
		func(where string) { v.found("head_mismatch", "%s", where) })
}

// unlogged finds events that neither have a position nor wait for one.
func (v *verifier) unlogged(ctx context.Context) error {
	return v.each(ctx, "SELECT e.id FROM events e LEFT JOIN event_log l ON l.event = e.id LEFT JOIN event_outbox o ON o.event = e.id "+
		"WHERE l.position IS NULL AND o.event IS NULL",
		func(id string) { v.found("log_mismatch", "%s", id) })
}

func (v *verifier) each(ctx context.Context, query string, tell func(string)) error {
	rows, err := v.db.Conn(ctx).QueryContext(ctx, query+" LIMIT ?", maxFindings)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return err
		}
		tell(s)
	}
	return rows.Err()
}

// log follows the chain of positions.
func (v *verifier) log(ctx context.Context, expectAt int64, expectHash string) error {
	var at int64
	hash := ""
	expected := expectAt == 0
	for {
		n, err := func() (n int, err error) {
			rows, err := v.db.Conn(ctx).QueryContext(ctx, "SELECT l.position, l.event, l.hash, COALESCE(e.hash, '') "+
				"FROM event_log l LEFT JOIN events e ON e.id = l.event WHERE l.position > ? ORDER BY l.position LIMIT ?", at, verifyPage)
			if err != nil {
				return 0, err
			}
			defer func() { _ = rows.Close() }()
			for rows.Next() {
				var pos int64
				var id, got, event string
				if err := rows.Scan(&pos, &id, &got, &event); err != nil {
					return 0, err
				}
				n++
				switch {
				case pos != at+1:
					v.found("missing", "position %d", at+1)
				case event == "":
					v.found("missing", "%s", id)
				case got != sealed(hash, pos, event):
					v.found("log_mismatch", "position %d", pos)
				}
				at, hash = pos, got
				if pos == expectAt {
					expected = got == expectHash
				}
			}
			return n, rows.Err()
		}()
		if err != nil {
			return err
		}
		if n < verifyPage {
			break
		}
	}
	if !expected {
		v.found("unexpected_seal", "position %d", expectAt)
	}
	v.r.Seal = fmt.Sprintf("%d:%s", at, hash)
	// The seal may have moved on since; it must know this position at least.
	var end int64
	var known bool
	err := v.db.Conn(ctx).QueryRowContext(ctx, "SELECT s.position, s.position = 0 OR EXISTS "+
		"(SELECT 1 FROM event_log l WHERE l.position = s.position AND l.hash = s.hash) FROM event_seal s WHERE s.id = 1").Scan(&end, &known)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		v.found("seal_mismatch", "position %d", at)
	case err != nil:
		return err
	case end < at || !known:
		v.found("seal_mismatch", "position %d", end)
	}
	return nil
}

// sealed is the hash of a position.
func sealed(prev string, position int64, event string) string {
	return digest(prev, strconv.FormatInt(position, 10), event)
}
