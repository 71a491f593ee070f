package usage

import (
	"context"
	"fmt"
)

// ExportPersonal adds what the learner's calls used, a row a day.
func (l *Ledger) ExportPersonal(ctx context.Context, learner string, add func(kind string, row any) error) (err error) {
	type day struct {
		Day    string `json:"day"`
		Tokens int64  `json:"tokens"`
		Micros int64  `json:"micros"`
		Calls  int64  `json:"calls"`
	}
	var days []day
	rows, err := l.db.Conn(ctx).QueryContext(ctx, "SELECT day, tokens, micros, calls FROM upstream_usage WHERE learner = ? AND learner <> '' ORDER BY day", learner)
	if err != nil {
		return fmt.Errorf("export usage: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var d day
		if err := rows.Scan(&d.Day, &d.Tokens, &d.Micros, &d.Calls); err != nil {
			return fmt.Errorf("export usage: %w", err)
		}
		days = append(days, d)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("export usage: %w", err)
	}
	for _, d := range days {
		if err := add("day", d); err != nil {
			return err
		}
	}
	return nil
}

// ErasePersonal deletes the learner's rows; the totals of all learners stay.
func (l *Ledger) ErasePersonal(ctx context.Context, learner string) error {
	if learner == "" {
		return nil // that is the row of all
	}
	if _, err := l.db.Conn(ctx).ExecContext(ctx, "DELETE FROM upstream_usage WHERE learner = ?", learner); err != nil {
		return fmt.Errorf("erase usage: %w", err)
	}
	return nil
}
