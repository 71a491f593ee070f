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
	var path []conversation.Turn
	if page.Tip, path, err = s.path(ctx, r, run); err != nil {
		return page, err
	}
	page.Active = page.Tip.Run == s.tip(r)
	if path, page.More, err = conversation.CutPage(path, before, limit); err != nil || len(path) == 0 {
		return page, err
	}
	page.Turns, err = s.texts(ctx, id, numbers(path))
	return page, err
}

// path follows a branch by the links of its turns, which are small; run 0 is
// the tip of the active one.
func (s *Store) path(ctx context.Context, r *row, run int64) (tip conversation.Head, path []conversation.Turn, err error) {
	if tip.Run = run; run == 0 {
		tip.Run = s.tip(r)
	}
	if tip.Run != 0 {
		row, err := s.run(ctx, r.id, tip.Run)
		if err != nil {
			return tip, nil, err
		}
		tip.Turn = row.Parent
	}
	var links []conversation.Turn
	err = s.each(ctx, func(rows *sql.Rows) error {
		var t conversation.Turn
		err := rows.Scan(&t.N, &t.Author, &t.Run, &t.Parent, &t.After)
		links = append(links, t)
		return err
	}, "SELECT t.n, t.author, t.run, "+turnLinks+" FROM turns t WHERE t.conversation = ? ORDER BY t.n", r.id)
	if err != nil {
		return tip, nil, fmt.Errorf("read branch: %w", err)
	}
	path, _ = conversation.Path(links, tip)
	return tip, path, nil
}

func numbers(path []conversation.Turn) []int64 {
	ns := make([]int64, len(path))
	for i, t := range path {
		ns[i] = t.N
	}
	return ns
}

// texts reads turns by their numbers, in that order; one that is not there
// makes it ErrNotFound, because only an erasure takes turns away.
func (s *Store) texts(ctx context.Context, id conversation.ID, ns []int64) ([]conversation.Turn, error) {
	at := make(map[int64]int, len(ns))
	for i, n := range ns {
		at[n] = i
	}
	found, turns := 0, make([]conversation.Turn, len(ns))
	err := s.each(ctx, func(rows *sql.Rows) error {
		t, err := scanTurn(rows)
		if err == nil {
			turns[at[t.N]] = t
			found++
		}
		return err
	}, "SELECT "+turnColumns+" FROM turns t WHERE t.conversation = ? AND t.n IN (?)", id, bun.List(ns))
	if err != nil {
		return nil, fmt.Errorf("read branch: %w", err)
	}
	if found != len(ns) {
		return nil, conversation.ErrNotFound
	}
	return turns, nil
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
