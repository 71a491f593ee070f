package conversation

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func learner(n, run int64) Turn { return Turn{N: n, Author: Learner, Run: run} }
func partner(n, run int64) Turn { return Turn{N: n, Author: Partner, Run: run} }

func TestWindow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		turns []Turn
		run   Run
		want  []int64
	}{
		{"nothing", nil, Run{No: 1}, nil},
		{"opening, then a question", []Turn{partner(1, 1), learner(2, 2)}, Run{No: 2, Parent: 2}, []int64{1, 2}},
		{"asked and answered", []Turn{learner(1, 1), partner(2, 1), learner(3, 2)}, Run{No: 2, Parent: 3}, []int64{1, 2, 3}},
		{"two questions before the first answer", []Turn{learner(1, 1), learner(2, 2), partner(3, 1)}, Run{No: 2, Parent: 2}, []int64{1, 3, 2}},
		{"later messages wait", []Turn{learner(1, 1), learner(2, 2), learner(3, 3)}, Run{No: 1, Parent: 1}, []int64{1}},
		{"a failed run has no answer", []Turn{learner(1, 1), learner(2, 2)}, Run{No: 2, Parent: 2}, []int64{1, 2}},
		{"the run's own end is not its prompt", []Turn{learner(1, 1), partner(2, 1)}, Run{No: 1, Parent: 1}, []int64{1}},
		{"a reply whose question was trimmed", []Turn{partner(6, 3), learner(7, 4)}, Run{No: 4, Parent: 7}, []int64{6, 7}},
		{"a run that answers no turn", []Turn{partner(1, 1), learner(2, 2), partner(3, 2)}, Run{No: 3}, []int64{1, 2, 3}},
	} {
		for i := range tc.turns {
			Linear(tc.turns[:i], &tc.turns[i])
		}
		st := State{Turns: tc.turns}
		if n := len(tc.turns); n > 0 {
			st.Head = Head{Run: tc.turns[n-1].Run, Turn: tc.turns[n-1].Parent}
		}
		var got []int64
		for _, turn := range st.Window(tc.run) {
			got = append(got, turn.N)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: turns %v, want %v", tc.name, got, tc.want)
		}
	}
}

// edited is: 1 asked, 2 answered, 3 asked, 4 answered, then 3 asked otherwise
// as 5 (run 3, answered by 6), 4 written anew as 7 (run 4), and a message after
// that (8, run 5), which has no answer.
func edited() []Turn {
	return []Turn{
		{N: 1, Author: Learner, Run: 1},
		{N: 2, Author: Partner, Run: 1, Parent: 1},
		{N: 3, Author: Learner, Run: 2, Parent: 1, After: 1},
		{N: 4, Author: Partner, Run: 2, Parent: 3},
		{N: 5, Author: Learner, Run: 3, Parent: 1, After: 1},
		{N: 6, Author: Partner, Run: 3, Parent: 5},
		{N: 7, Author: Partner, Run: 4, Parent: 3},
		{N: 8, Author: Learner, Run: 5, Parent: 3, After: 4},
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		turns []Turn
		tip   Head
		want  []int64
		whole bool
	}{
		{"nothing", nil, Head{}, []int64{}, true},
		{"as it was first", edited(), Head{2, 3}, []int64{1, 2, 3, 4}, true},
		{"the message edited", edited(), Head{3, 5}, []int64{1, 2, 5, 6}, true},
		{"the reply written anew", edited(), Head{4, 3}, []int64{1, 2, 3, 7}, true},
		{"what follows it", edited(), Head{5, 8}, []int64{1, 2, 3, 7, 8}, true},
		{"a reply to come", edited(), Head{9, 5}, []int64{1, 2, 5}, true},
		{"older ones are not kept", edited()[4:], Head{5, 8}, []int64{7, 8}, false},
		{"a tip that is not kept", edited()[4:], Head{2, 3}, []int64{}, false},
		{"links that lead forward end", []Turn{{N: 1, Author: Learner, Run: 1, Parent: 1}}, Head{1, 1}, []int64{1}, false},
	} {
		path, whole := Path(tc.turns, tc.tip)
		got := []int64{}
		for _, turn := range path {
			got = append(got, turn.N)
		}
		if !slices.Equal(got, tc.want) || whole != tc.whole {
			t.Errorf("%s: turns %v %v, want %v %v", tc.name, got, whole, tc.want, tc.whole)
		}
	}
}

func TestCutPage(t *testing.T) {
	t.Parallel()
	path := edited()[:4]
	for _, tc := range []struct {
		before int64
		limit  int
		want   []int64
		more   bool
	}{{0, 10, []int64{1, 2, 3, 4}, false}, {0, 2, []int64{3, 4}, true}, {3, 2, []int64{1, 2}, false}, {3, 1, []int64{2}, true}, {1, 5, []int64{}, false}} {
		page, more, err := CutPage(path, tc.before, tc.limit)
		got := []int64{}
		for _, turn := range page {
			got = append(got, turn.N)
		}
		if !slices.Equal(got, tc.want) || more != tc.more || err != nil {
			t.Errorf("before %d, limit %d: %v %v %v, want %v %v", tc.before, tc.limit, got, more, err, tc.want, tc.more)
		}
	}
	for _, elsewhere := range []int64{99, edited()[4].N} {
		if page, _, err := CutPage(path, elsewhere, 5); fault.CodeOf(err) != fault.CursorGone {
			t.Errorf("before %d, which is not on the path: %v, %v", elsewhere, page, err)
		}
	}
}

func TestStateJSONHidesWhatLearnersMustNotSee(t *testing.T) {
	t.Parallel()
	st := State{Header: Header{ID: "c1", Kind: KindChat, Owner: "secret-owner", Title: "t", State: StateActive, CreatedAt: 7, Meta: json.RawMessage(`{"hidden":"secret"}`)}}
	got, err := st.AppendStateJSON([]byte("x"))
	want := `x{"conversation":{"id":"c1","kind":"chat","title":"t","state":"active","created_at":7},"turns":[],"head":{"run":0,"turn":0},"open":null}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s (%v)\nwant %s", got, err, want)
	}
	st.Open = &OpenReply{Run: 2, MessageID: "m", Attempt: 1, Base: 1, Text: "<é>", Stopping: true}
	st.Turns = []Turn{{N: 1, ID: "a", Author: Learner, Text: "q", ClientID: "c", Run: 2, At: 9}}
	st.Result, st.Failure = json.RawMessage(`{"r":1}`), json.RawMessage(`{"f":1}`)
	got, err = st.AppendStateJSON(nil)
	var back State
	if err != nil || json.Unmarshal(got, &back) != nil || *back.Open != *st.Open || back.Turns[0] != st.Turns[0] || string(back.Result) != `{"r":1}` || string(back.Failure) != `{"f":1}` {
		t.Errorf("%s reads back as %+v (%v)", got, back, err)
	}
}
