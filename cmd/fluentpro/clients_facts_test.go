package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// remark commits a fact of the practice, as whoever judges what a learner
// writes will: a row of SQL under the conversation's next number. The nodes
// find it and bring it into the log.
func (c *cluster) remark(conversation string, run int64, typ, data string) {
	c.t.Helper()
	ctx := c.t.Context()
	db, err := sqldb.Open(ctx, c.sql, sqldb.Options{MaxConns: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.InTx(ctx, func(ctx context.Context) error {
		var n int64
		if err := db.Conn(ctx).QueryRowContext(ctx, "UPDATE conversations SET facts = facts + 1 WHERE id = ? RETURNING facts", conversation).Scan(&n); err != nil {
			return err
		}
		_, err := db.Conn(ctx).ExecContext(ctx, `INSERT INTO facts (conversation, n, type, run, attempt, base, data, turn, created_at)
			VALUES (?, ?, ?, ?, 1, 1, ?, 0, ?)`, conversation, n, typ, run, data, time.Now().UnixMicro())
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// Feedback and an objective that are committed while a reply is being written
// reach other people's clients beside its text, the AI SDK's to stay with the
// message, and the text is exact.
func TestClientsPracticeFacts(t *testing.T) {
	t.Parallel()
	d := newDrivers(t)
	c := newCluster(t, crowd)
	l, first := ready(t, c.a.base)
	c.model.slow(4 * pace) // facts are found within two seconds
	all := d.guests(l, first, c.b.base, slices.Concat(aiKinds, aguiKinds)...)
	for _, g := range all {
		g.send()
	}
	for _, g := range all {
		g.reaches(len(reply(g.tag)) / 20)
		run := l.say(g.conversation, g.tag).Run // a repeat: the same message, so its run
		c.remark(g.conversation, run, "feedback.ready", `{"id":"f1","text":"A clear `+"\\\"opening\\\""+`."}`)
		c.remark(g.conversation, run, "objective.met", `{"id":"o2"}`)
	}
	for _, g := range all {
		var facts []string
		e := g.until("the end", func(e told) bool {
			if e.Event == "fact" {
				facts = append(facts, strings.TrimPrefix(e.Message, "data-")+" "+e.ID)
			}
			return e.Event == "ended"
		})
		if want := []string{"feedback f1", "objective o2"}; !slices.Equal(facts, want) {
			t.Errorf("%s was told of %q, want %q", g.name, facts, want)
		}
		if strings.HasPrefix(g.kind, "ai") {
			want := []string{
				`data-feedback f1 {"type":"feedback.ready","data":{"id":"f1","text":"A clear \"opening\"."}}`,
				`data-objective o2 {"type":"objective.met","data":{"id":"o2"}}`,
			}
			if !slices.Equal(e.Facts, want) {
				t.Errorf("%s keeps %q, want %q", g.name, e.Facts, want)
			}
		}
		g.exact(e, false)
		g.stored(e)
	}
}
