package sqlstore

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

const columns = "e.id, e.type, e.version, e.kind, e.aggregate, e.seq, COALESCE(l.position, 0), e.actor, e.correlation, e.at, " +
	"COALESCE(e.data, 'null'), e.salt, e.data_hash, e.prev, e.hash, COALESCE(e.erased_at, 0)"

const joined = " FROM events e LEFT JOIN event_log l ON l.event = e.id"

// Read lists events: those of one aggregate in its order, else all in the
// order of their positions, which leaves out what is not sealed yet.
func (s *Store) Read(ctx context.Context, q events.Query) ([]events.Event, error) {
	where, args := []string{"1 = 1"}, []any{}
	add := func(cond string, arg ...any) { where, args = append(where, cond), append(args, arg...) }
	order := "l.position"
	if q.Aggregate.Kind != "" {
		add("e.kind = ?", q.Aggregate.Kind)
	}
	if q.Aggregate.ID != "" {
		add("e.aggregate = ?", q.Aggregate.ID)
	}
	if q.Aggregate.Kind != "" && q.Aggregate.ID != "" {
		order = "e.seq"
		add("e.seq > ?", q.AfterSequence)
	} else {
		add("l.position > ?", q.AfterPosition)
	}
	if q.Type != "" {
		add("e.type = ?", q.Type)
	}
	if !q.Since.IsZero() {
		add("e.at >= ?", sqldb.Micros(q.Since))
	}
	if !q.Until.IsZero() {
		add("e.at < ?", sqldb.Micros(q.Until))
	}
	limit := q.Limit
	if limit <= 0 || limit > events.MaxRead {
		limit = events.MaxRead
	}
	rows, err := s.rows(ctx, "SELECT "+columns+joined+" WHERE "+strings.Join(where, " AND ")+" ORDER BY "+order+" LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, failed("read events", err)
	}
	return plain(rows), nil
}

func plain(rows []row) []events.Event {
	out := make([]events.Event, len(rows))
	for i, r := range rows {
		out[i] = r.Event
	}
	return out
}

func (s *Store) rows(ctx context.Context, query string, args ...any) (out []row, err error) {
	rows, err := s.db.Conn(ctx).QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r row
		var at, erased int64
		var data string
		if err := rows.Scan(&r.ID, &r.Type, &r.Version, &r.Aggregate.Kind, &r.Aggregate.ID, &r.Sequence, &r.Position, &r.Actor,
			&r.Correlation, &at, &data, &r.salt, &r.dataHash, &r.prev, &r.hash, &erased); err != nil {
			return nil, err
		}
		r.At, r.Data, r.erased = time.UnixMicro(at).UTC(), json.RawMessage(data), erased != 0
		out = append(out, r)
	}
	return out, rows.Err()
}

// Erase takes the data of all events of an aggregate away, for good. The
// events stay, and so do their hashes: the trail shows that something was
// erased, and its chain is whole.
func (s *Store) Erase(ctx context.Context, a events.Aggregate) error {
	return failed("erase events", s.db.InTx(ctx, func(ctx context.Context) error {
		conn := s.db.Conn(ctx)
		if _, err := conn.ExecContext(ctx,
			"UPDATE events SET data = NULL, salt = '', erased_at = ? WHERE kind = ? AND aggregate = ? AND erased_at IS NULL",
			sqldb.Micros(s.opts.Now()), a.Kind, a.ID); err != nil {
			return err
		}
		// Why a group could not handle one may quote it.
		_, err := conn.ExecContext(ctx, "UPDATE event_handled SET reason = '' WHERE reason <> '' AND event IN (SELECT id FROM events WHERE kind = ? AND aggregate = ?)",
			a.Kind, a.ID)
		return err
	}))
}
