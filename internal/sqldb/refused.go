package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// RefusedError says that the database answers and takes no writes, or no
// connections, for a reason that lies outside the statement and may pass: its
// disk is full, it is read-only, it starts.
type RefusedError struct {
	// Reason is one of full, read_only, connections, starting, busy, broken.
	Reason string
	Err    error
}

func (e *RefusedError) Error() string { return "database refuses (" + e.Reason + "): " + e.Err.Error() }

// Unwrap returns the driver's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// StorageRefuses lets those who know no database tell this from an error of
// what they asked for.
func (*RefusedError) StorageRefuses() bool { return true }

// states are Postgres' SQLSTATEs of this kind.
var states = map[string]string{
	"53100": "full", "53200": "full", "53400": "full",
	"25006": "read_only",
	"53300": "connections",
	"57P01": "starting", "57P02": "starting", "57P03": "starting",
	"58000": "broken", "58030": "broken",
}

// results are SQLite's primary result codes of this kind.
var results = map[int]string{
	sqlite3.SQLITE_FULL: "full", sqlite3.SQLITE_NOMEM: "full",
	sqlite3.SQLITE_READONLY: "read_only",
	sqlite3.SQLITE_BUSY:     "busy", sqlite3.SQLITE_LOCKED: "busy",
	sqlite3.SQLITE_IOERR: "broken", sqlite3.SQLITE_CANTOPEN: "broken",
}

// reason is "" for an error of another kind.
func reason(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return states[pe.Code]
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		return results[se.Code()&0xff]
	}
	return ""
}

// refused marks an error of this kind.
func refused(err error) error {
	if r := reason(err); r != "" && !errors.As(err, new(*RefusedError)) {
		return &RefusedError{Reason: r, Err: err}
	}
	return err
}

// refusingFor is how long after a refusal the database counts as refusing: who
// writes only now and then must not look well in between.
const refusingFor = 10 * time.Second

// refusals remembers the newest one and counts all.
type refusals struct {
	count *prometheus.CounterVec

	mu   sync.Mutex // guards what follows
	last string
	at   time.Time
	// readOnly is when a statement was last refused for writing.
	readOnly time.Time
}

// bornKey is under which a connection to Postgres knows when it was made.
const bornKey = "fluentpro.born"

func born(_ context.Context, c *pgx.Conn) error {
	c.PgConn().CustomData()[bornKey] = time.Now()
	return nil
}

// spared is how old a connection gets in any case, so that a database which
// stays read-only is not dialled for every statement.
const spared = time.Second

// outlived has the pool drop a connection that was there when the database
// refused to be written: after a failover the old primary, a standby now, may
// keep it open, while a new one would lead to the new primary.
func (r *refusals) outlived(_ context.Context, c *pgx.Conn) error {
	at, _ := c.PgConn().CustomData()[bornKey].(time.Time)
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Before(r.readOnly) && time.Since(at) > spared {
		return driver.ErrBadConn
	}
	return nil
}

func newRefusals() *refusals {
	return &refusals{count: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_sql_refused_total",
		Help: "Statements that the database refused for a reason outside them (full, read_only, connections, starting, busy, broken)."}, []string{"reason"})}
}

func (r *refusals) note(err error) {
	why := reason(err)
	if why == "" {
		return
	}
	r.count.WithLabelValues(why).Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.at = why, time.Now()
	if why == "read_only" {
		r.readOnly = r.at
	}
}

// Refusing is an error while the database has refused something within the
// last ten seconds.
func (d *DB) Refusing() error {
	d.refusals.mu.Lock()
	defer d.refusals.mu.Unlock()
	if d.refusals.last == "" || time.Since(d.refusals.at) > refusingFor {
		return nil
	}
	return fmt.Errorf("the database refused a statement: %s", d.refusals.last)
}

// Refusals counts what was refused.
func (d *DB) Refusals() prometheus.Collector { return d.refusals.count }
