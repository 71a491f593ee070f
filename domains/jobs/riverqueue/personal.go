package riverqueue

import (
	"context"

	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// ExportPersonal adds nothing: jobs hold ids and keys, no data of a learner.
func (q *Queue) ExportPersonal(context.Context, string, func(kind string, row any) error) error {
	return nil
}

// ErasePersonal removes the jobs about a learner, those whose arguments say so
// in the field learner_id, in the transaction that ctx carries. What runs just
// now is left: see Running. A row of a job that is about nobody is nobody's.
func (q *Queue) ErasePersonal(ctx context.Context, learner string) error {
	if learner == "" {
		return nil
	}
	_, err := q.db.Conn(ctx).ExecContext(ctx, "DELETE FROM river_job WHERE state <> 'running' AND "+q.about()+" = ?", learner)
	return failed("erase jobs", err)
}

// Running counts the jobs about a learner that run just now, besides one.
func (q *Queue) Running(ctx context.Context, learner string, besides int64) (n int64, err error) {
	err = q.db.Conn(ctx).QueryRowContext(ctx, "SELECT count(*) FROM river_job WHERE state = 'running' AND id <> ? AND "+q.about()+" = ?", besides, learner).Scan(&n)
	return n, failed("count jobs", err)
}

func (q *Queue) about() string {
	if q.db.Engine == sqldb.SQLite {
		return "json_extract(args, '$.data.learner_id')"
	}
	return "args #>> '{data,learner_id}'"
}
