package events

import (
	"context"
	"time"
)

// MaxRead bounds how many events one Read returns.
const MaxRead = 500

// Query names events; empty fields do not narrow.
type Query struct {
	// Aggregate with Kind and ID reads one aggregate in its order; Kind alone
	// narrows.
	Aggregate Aggregate
	// AfterSequence pages through one aggregate, AfterPosition through all.
	AfterSequence, AfterPosition int64
	Type                         string
	// Since is inclusive, Until is not.
	Since, Until time.Time
	// Limit is at most MaxRead, which is also the default.
	Limit int
}

// Trail is the audit trail.
type Trail interface {
	// Read lists events: of one aggregate in its order, else by position,
	// which leaves out what is not sealed yet (a moment after its commit).
	Read(ctx context.Context, q Query) ([]Event, error)
	// Verify walks every chain and tells what does not fit. expect, as
	// Report.Seal printed it earlier, proves that the trail still begins as it
	// did then; "" expects nothing.
	Verify(ctx context.Context, expect string) (Report, error)
	// Erase takes the data of an aggregate's events away and leaves the chain
	// whole.
	Erase(ctx context.Context, a Aggregate) error
}

// Report is what Verify found.
type Report struct {
	// Events, Aggregates and Erased count what was read.
	Events     int64 `json:"events"`
	Aggregates int64 `json:"aggregates"`
	Erased     int64 `json:"erased"`
	// Seal is the end of the trail, "<position>:<hash>". Kept elsewhere, it
	// proves later that nothing before it was changed, even by somebody who
	// could write every table.
	Seal string `json:"seal"`
	// Findings are the first 100 of what is wrong; empty means whole.
	Findings []Finding `json:"findings"`
}

// Finding is one thing that does not fit.
type Finding struct {
	// Code is changed, missing, reordered, data_changed, head_mismatch,
	// log_mismatch, seal_mismatch or unexpected_seal.
	Code string `json:"code"`
	// Where names the event, the aggregate or the position.
	Where string `json:"where"`
}
