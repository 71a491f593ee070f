package conversation

import (
	"encoding/json"
	"slices"
	"testing"
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
		st := State{Turns: tc.turns}
		var got []int64
		for _, turn := range st.Window(tc.run) {
			got = append(got, turn.N)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: turns %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestStateJSONHidesWhatLearnersMustNotSee(t *testing.T) {
	t.Parallel()
	st := State{Header: Header{ID: "c1", Kind: KindChat, Owner: "secret-owner", Title: "t", State: StateActive, CreatedAt: 7, Meta: json.RawMessage(`{"hidden":"secret"}`)}}
	got, err := st.AppendStateJSON([]byte("x"))
	want := `x{"conversation":{"id":"c1","kind":"chat","title":"t","state":"active","created_at":7},"turns":[],"open":null}`
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
