package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/client"
)

// The main job, from sign-up to a finished reply, on two real processes: the
// scenario is followed as it is written, the message goes by the socket in one
// case and by REST in the other, and the reply is read over the same transport
// at the other node.
func TestE2EJourney(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, over := range []client.Transport{client.OverWS, client.OverSSE} {
		t.Run(string(over), func(t *testing.T) {
			c.model.slow(2 * time.Millisecond)
			l := signUp(t, c.a.base)
			l.onboard()
			request := l.askScenario()
			views := map[string]*client.View{
				"ws":  l.watch(client.OverWS, request, c.b.base),
				"sse": l.watch(client.OverSSE, request, c.a.base),
			}
			scenarioAppears(t, views)

			c.model.slow(time.Millisecond)
			conversation, tag := l.converse(), newTag()
			v := l.watch(over, conversation, c.b.base)
			var run int64
			if over == client.OverWS {
				sender, err := client.DialWS(t.Context(), l.at(c.a.base), "", client.NewView(conversation))
				if err != nil {
					t.Fatal(err)
				}
				defer sender.Drop()
				got, err := sender.Send(t.Context(), conversation, tag, message(tag), "")
				if err != nil {
					t.Fatal(err)
				}
				again, err := sender.Send(t.Context(), conversation, tag, message(tag), "")
				if err != nil || !again.Duplicate || again.Run != got.Run {
					t.Fatalf("the same id again: %+v, %v", again, err)
				}
				run = got.Run
			} else {
				run = l.say(conversation, tag).Run
				if again := l.say(conversation, tag); !again.Duplicate || again.Run != run {
					t.Fatalf("the same id again: %+v", again)
				}
			}
			ends(t, string(over), v, run, reply(tag))
			v.Look(func(f *client.Fold) {
				if f.Deltas < 10 {
					t.Errorf("the reply came in %d pieces, it was not streamed", f.Deltas)
				}
			})
			l.answeredOnce(conversation, tag, run)
			if calls := c.model.callsFor(tag); len(calls) != 1 || calls[0].Sent != tokens {
				t.Errorf("the model was asked %d times: %+v", len(calls), calls)
			}
		})
	}
}

// scenarioAppears follows a scenario request to its end: title before brief
// before the validated scenario, in pieces, and the same text in every view.
func scenarioAppears(t *testing.T, views map[string]*client.View) (text string) {
	t.Helper()
	for name, v := range views {
		until(t, v, name+": the scenario is ready", func(f *client.Fold) bool {
			if len(f.Failure) > 0 && string(f.Failure) != "null" {
				t.Fatalf("%s: the scenario failed: %s", name, f.Failure)
			}
			return len(f.Result) > 0 && f.Open == 0
		})
		v.Look(func(f *client.Fold) {
			var got struct{ Title, Brief, ID string }
			if err := json.Unmarshal(f.Result, &got); err != nil || got.Title == "" || got.Brief == "" || got.ID == "" {
				t.Errorf("%s: the scenario lacks something: %+v, %v", name, got, err)
			}
			for _, secret := range []string{"hidden_facts", `"goal"`, `"constraints"`} {
				if strings.Contains(string(f.Result), secret) {
					t.Errorf("%s: the learner sees the partner's %s", name, secret)
				}
			}
			if f.Deltas < 10 {
				t.Errorf("%s: the scenario came in %d pieces, it was not seen being written", name, f.Deltas)
			}
			r := f.Runs[1]
			switch {
			case r == nil:
				return // it was over before this view attached
			case r.Restarts > 0:
				t.Errorf("%s: the text began anew", name)
			case text == "":
				text = r.Text()
			case r.Text() != text:
				t.Errorf("%s: %s", name, differ(r.Text(), text))
			}
			for _, b := range f.Violations {
				t.Errorf("%s: %s at seq %d: %s", name, b.Kind, b.Seq, b.Detail)
			}
		})
	}
	return text
}
