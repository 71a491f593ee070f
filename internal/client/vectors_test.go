package client

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"
)

// The conformance vectors: the same file judges web/client.
func TestVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../api/vectors/client.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name    string
			Receive []json.RawMessage
			Expect  struct {
				Turns   []Turn
				Open    *OpenReply
				State   string
				Cur     string
				Gap     bool
				Failure string
				Result  any
				// Head and Branch (numbers of turns) say which branch is shown.
				Head   *Head
				Branch []int64
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Vectors) < 20 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		f, gap := NewFold(), false
		for _, msg := range v.Receive {
			gap = receive(t, f, msg) || gap
		}
		if f.Cursor() != v.Expect.Cur || gap != v.Expect.Gap || f.Header.State != v.Expect.State {
			t.Errorf("%s: cursor %s, gap %v, state %s, want %+v", v.Name, f.Cursor(), gap, f.Header.State, v.Expect)
		}
		if len(f.Turns) != len(v.Expect.Turns) {
			t.Errorf("%s: turns %+v, want %+v", v.Name, f.Turns, v.Expect.Turns)
			continue
		}
		for i, want := range v.Expect.Turns {
			if got := f.Turns[i]; got.N != want.N || got.Author != want.Author || got.Text != want.Text || got.Finish != want.Finish {
				t.Errorf("%s: turn %+v, want %+v", v.Name, got, want)
			}
		}
		if v.Expect.Head != nil {
			var shown []int64
			for _, turn := range f.Branch() {
				shown = append(shown, turn.N)
			}
			if f.Head != *v.Expect.Head || !slices.Equal(shown, v.Expect.Branch) {
				t.Errorf("%s: head %+v shows %v, want %+v %v", v.Name, f.Head, shown, *v.Expect.Head, v.Expect.Branch)
			}
			if len(f.Violations) > 0 {
				t.Errorf("%s: %+v", v.Name, f.Violations)
			}
		}
		want := OpenReply{}
		if v.Expect.Open != nil {
			want = *v.Expect.Open
		}
		got := OpenReply{}
		if r := f.Runs[f.Open]; f.Open != 0 && r != nil {
			got = OpenReply{Run: r.No, Attempt: r.Attempt, Base: r.Base, Text: r.Text(), Stopping: r.StopAt >= 0}
		}
		if got != want {
			t.Errorf("%s: open %+v, want %+v", v.Name, got, want)
		}
		var failure struct{ Code string }
		_ = json.Unmarshal(f.Failure, &failure) // no failure reads as none
		if v.Expect.Open == nil && failure.Code != v.Expect.Failure {
			t.Errorf("%s: failure %q, want %q", v.Name, failure.Code, v.Expect.Failure)
		}
		var result any
		_ = json.Unmarshal(f.Result, &result) // no result reads as none
		if !reflect.DeepEqual(result, v.Expect.Result) {
			t.Errorf("%s: result %s, want %v", v.Name, f.Result, v.Expect.Result)
		}
	}
}

// receive folds one message of a stream and reports a gap.
func receive(t *testing.T, f *Fold, msg json.RawMessage) (gap bool) {
	t.Helper()
	var e struct {
		Event
		Reason string
		State  json.RawMessage
	}
	if err := json.Unmarshal(msg, &e); err != nil {
		t.Fatalf("%s: %v", msg, err)
	}
	switch e.Type {
	case "reset":
		f.Reset(e.Reason)
	case "caught_up":
	case "snapshot":
		if err := f.Snapshot(e.Cur, e.State); err != nil {
			t.Fatal(err)
		}
	default:
		return f.Apply(e.Event) == Gap
	}
	return false
}
