package inspector

import (
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
)

// judge names what should not last and says what the system does next.
func judge(r *Report, rec conversation.Record, haveSQL bool, act conversation.Active, actErr error, haveLock, haveNodes bool) {
	add := func(name, format string, args ...any) {
		r.Anomalies = append(r.Anomalies, Anomaly{name, fmt.Sprintf(format, args...)})
	}
	haveLog := actErr == nil
	noLog := errors.Is(actErr, conversation.ErrLogMissing)
	if errors.Is(actErr, conversation.ErrLogDamaged) {
		add("log_damaged", "%v; whoever reads or writes it next sets it aside and makes it anew", actErr)
	}
	r.Next = "nothing: the conversation waits for its learner"
	if r.State == "ended" {
		r.Next = "nothing: the conversation has ended"
	}
	if !haveSQL {
		r.Next = "unknown while SQL does not answer; text that is being written goes on into the log"
		return
	}
	if !haveLog && !noLog {
		r.Next = "messages are accepted and replies completed in SQL; viewers get them when Redis answers again"
	}
	running := rec.Running
	switch {
	case running != nil && r.Owner != nil && !r.Owner.Alive && haveNodes:
		add("owner_dead", "node %s has shown no sign of life for %.1f s", running.Owner, r.Owner.BeatAge)
		r.Next = "another node claims the run within a second and goes on from the text that is in the log"
	case running != nil:
		r.Next = "the owner writes on until the run has ended"
	case rec.Waiting > 0:
		r.Next = "a node claims the waiting run at its next sweep"
	}
	if running != nil && haveLock && haveLog {
		switch {
		case r.Lock == nil:
			add("running_without_lock", "the run has an owner, and nobody holds the lock")
		case r.Lock.Node != running.Owner:
			add("lock_of_another_node", "%s holds the lock, %s owns the run", r.Lock.Node, running.Owner)
		}
	}
	if running == nil && rec.Waiting == 0 && r.Lock != nil && r.Lock.Age > 5 {
		add("orphan_lock", "a lock of %s stands for %.0f s and no run is open", r.Lock.Node, r.Lock.Age)
	}
	if noLog && running != nil {
		add("log_missing_while_writing", "the writer has not made a log yet, or Redis lost it")
		r.Next = "the writer makes a new log with its whole text at its next append"
	}
	if haveLog {
		judgeLog(r, rec, act, add)
	}
	if running != nil && r.SQL.Run.Age > 120 {
		add("stuck_run", "the run has been open for %.0f s", r.SQL.Run.Age)
	}
	for _, v := range r.Viewers {
		switch {
		case !v.NodeAlive:
			add("viewer_of_dead_node", "connection %s is listed on dead node %s; the entry lapses", v.Conn, v.Node)
		case v.Lag > 500:
			add("viewer_lags", "connection %s is %d events behind", v.Conn, v.Lag)
		}
	}
}

func judgeLog(r *Report, rec conversation.Record, act conversation.Active, add func(name, format string, args ...any)) {
	running := rec.Running
	if act.Epoch != rec.Log {
		add("log_not_named_by_sql", "the log is %s, SQL names %s", act.Epoch, rec.Log)
		r.Next = "the next reader or writer makes a new log from SQL"
	}
	if act.Facts < rec.Facts {
		add("facts_behind", "the log has %d of %d facts", act.Facts, rec.Facts)
		r.Next = "the relay of a node with viewers, or the next claim, brings the missing facts"
	}
	if act.Fence > rec.Fence {
		add("fence_ahead_of_sql", "the log has fence %d, SQL %d", act.Fence, rec.Fence)
	}
	open := act.State.Open
	if open != nil && running == nil && act.Facts >= rec.Facts {
		add("open_text_without_run", "the log has text of run %d open, SQL has no running run", open.Run)
	}
	if open != nil && running != nil && open.Run == running.No && act.Fence < running.Fence {
		add("takeover_not_begun", "SQL has fence %d, the log still %d", running.Fence, act.Fence)
	}
}
