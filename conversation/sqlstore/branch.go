package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/fluentpro/fluentpro/conversation"
)

// Branch implements conversation.Store: the links of all turns first, which
// are small, then the texts of one page. Turns never change, so it does not
// matter that these are two reads.
func (s *Store) Branch(ctx context.Context, owner conversation.LearnerID, id conversation.ID, run, before int64, limit int) (conversation.BranchPage, error) {
	page := conversation.BranchPage{Turns: []conversation.Turn{}}
	r, err := s.row(ctx, id, owner, "")
	if err != nil {
		return page, err
	}
	if run == 0 {
		run = s.tip(r)
	}
	page.Tip.Run, page.Active = run, run == s.tip(r)
	if run != 0 {
		row, err := s.run(ctx, id, run)
		if err != nil {
			return page, err
		}
		page.Tip.Turn = row.Parent
	}
	var links []conversation.Turn
	err = s.each(ctx, func(rows *sql.Rows) error {
		var t conversation.Turn
		err := rows.Scan(&t.N, &t.Author, &t.Run, &t.Parent, &t.After)
		links = append(links, t)
		return err
	}, "SELECT t.n, t.author, t.run, "+turnLinks+" FROM turns t WHERE t.conversation = ? ORDER BY t.n", id)
	if err != nil {
		return page, fmt.Errorf("read branch: %w", err)
	}
	path, _ := conversation.Path(links, page.Tip)
	path, page.More = conversation.CutPage(path, before, limit)
	if len(path) == 0 {
		return page, nil
	}
	at, ns := map[int64]int{}, make([]int64, len(path))
	for i, t := range path {
		at[t.N], ns[i] = i, t.N
	}
	page.Turns = make([]conversation.Turn, len(path))
	err = s.each(ctx, func(rows *sql.Rows) error {
		t, err := scanTurn(rows)
		page.Turns[at[t.N]] = t
		return err
	}, "SELECT "+turnColumns+" FROM turns t WHERE t.conversation = ? AND t.n IN (?)", id, bun.List(ns))
	if err != nil {
		return page, fmt.Errorf("read branch: %w", err)
	}
	return page, nil
}

// Tips implements conversation.Store: runs after whose reply nobody wrote.
func (s *Store) Tips(ctx context.Context, owner conversation.LearnerID, id conversation.ID, before int64, limit int) ([]conversation.Tip, error) {
	r, err := s.row(ctx, id, owner, "")
	if err != nil {
		return nil, err
	}
	out := []conversation.Tip{}
	err = s.each(ctx, func(rows *sql.Rows) error {
		var t conversation.Tip
		err := rows.Scan(&t.Run, &t.Turn, &t.State, &t.At)
		t.At /= 1000
		t.Active = t.Run == s.tip(r)
		out = append(out, t)
		return err
	}, `SELECT r.run, r.parent, r.state, r.created_at FROM runs r WHERE r.conversation = ? AND (? = 0 OR r.run < ?)
		AND (r.run = ? OR NOT EXISTS (SELECT 1 FROM turns t WHERE t.conversation = r.conversation AND t.author = 'learner'
			AND (t.after_run = r.run OR t.after_run < 0 AND t.run - 1 = r.run)))
		ORDER BY r.run DESC LIMIT ?`, id, before, before, s.tip(r), limit)
	if err != nil {
		return nil, fmt.Errorf("list branches: %w", err)
	}
	return out, nil
}
