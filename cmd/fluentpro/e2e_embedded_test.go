package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// The main job on the embedded defaults: one process, SQLite, the Redis and
// the partner inside it. It is killed in the middle of the scenario and in the
// middle of a reply; started again on the same directory it goes on, and
// nothing that was shown is taken back.
func TestE2EEmbedded(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	launchOn := func(name, perSecond string) *process {
		return start(t, name, "FLUENTPRO_DATA_DIR="+data, "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND="+perSecond)
	}
	p := launchOn("first", "300")
	for _, word := range []string{data, "embedded SQLite", "FLUENTPRO_DATABASE_URL", "FLUENTPRO_REDIS_URL", "scripted", "FLUENTPRO_UPSTREAM_BASE_URL"} {
		if !strings.Contains(p.out.String(), word) {
			t.Errorf("the greeting does not say %s", word)
		}
	}
	// One address in front of all of them, as a page has one.
	front := testenv.NewProxy(t, p.addr())
	base := "http://" + front.Addr
	l := signUp(t, base)
	l.onboard()
	request := l.askScenario()
	views := map[string]*client.View{"ws": l.watch(client.OverWS, request, base), "sse": l.watch(client.OverSSE, request, base)}
	for _, v := range views {
		reaches(t, v, 1, 200)
	}
	p.kill()
	p = launchOn("second", "300")
	front.Target(p.addr())
	scenarioAppears(t, views)
	p.signal(syscall.SIGTERM) // alone, a stop in between is as good as any
	if code := p.wait(25 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}

	p = launchOn("third", "30")
	front.Target(p.addr())
	conversation := l.converse()
	views = map[string]*client.View{}
	for _, over := range []client.Transport{client.OverWS, client.OverSSE, client.OverPoll} {
		views[string(over)] = l.watch(over, conversation, base)
	}
	for _, v := range views {
		until(t, v, "the conversation", func(f *client.Fold) bool { return f.Cursor() != "" })
	}
	run := l.say(conversation, "m1").Run
	before := map[string]string{}
	for name, v := range views {
		reaches(t, v, run, 25)
		v.Look(func(f *client.Fold) {
			if f.Runs[run].Ended != "" {
				t.Fatalf("%s: the reply was over before it could be killed", name)
			}
		})
	}
	p.kill()
	for name, v := range views {
		v.Look(func(f *client.Fold) { before[name] = f.Runs[run].Text() })
	}
	p = launchOn("fourth", "60")
	front.Target(p.addr())
	var stored struct{ State client.State }
	for name, v := range views {
		until(t, v, name+": the reply ends", func(f *client.Fold) bool { return f.Runs[run].Ended != "" })
		l.call("GET", "/conversations/"+conversation, nil, &stored)
		whole := stored.State.Turns[len(stored.State.Turns)-1].Text
		ends(t, name, v, run, whole)
		if !strings.HasPrefix(whole, before[name]) || len(whole) <= len(before[name]) {
			t.Errorf("%s: the %d bytes shown before the kill are no beginning of the final %d", name, len(before[name]), len(whole))
		}
		v.Look(func(f *client.Fold) {
			if f.Runs[run].Attempt < 2 {
				t.Errorf("%s: attempt %d, the kill hit nothing", name, f.Runs[run].Attempt)
			}
		})
	}
	if n := len(stored.State.Turns); stored.State.Turns[n-2].Author != "learner" {
		t.Errorf("the last turns are %+v", stored.State.Turns[n-2:])
	}

	// Two processes on one directory would each have their own Redis.
	second := launch(t, "intruder", "FLUENTPRO_DATA_DIR="+data)
	if code := second.wait(soon); code == 0 {
		t.Error("a second process on the same directory ends with code 0")
	}
	if said := second.out.String(); !strings.Contains(said, data) || !strings.Contains(said, "another process") {
		t.Errorf("a second process on the same directory says:\n%s", said)
	}
	l.call("GET", "/me", nil, nil) // the first is not disturbed
}

// A start that cannot work says why, with the names of what to set.
func TestE2EStartsThatFail(t *testing.T) {
	t.Parallel()
	running := start(t, "running")
	for _, tc := range []struct {
		name string
		env  []string
		code int
		says []string
	}{
		{"production with embedded parts", []string{"FLUENTPRO_PROFILE=production"}, exitUsage,
			[]string{"FLUENTPRO_DATABASE_URL", "FLUENTPRO_REDIS_URL", "FLUENTPRO_UPSTREAM_BASE_URL", "FLUENTPRO_ALLOW_EMBEDDED"}},
		{"several mistakes at once", []string{"FLUENTPRO_LISTEN=nowhere", "FLUENTPRO_LEASE=soon", "FLUENTPRO_LOG_LEVEL=loud"}, exitUsage,
			[]string{"FLUENTPRO_LISTEN", "FLUENTPRO_LEASE", "FLUENTPRO_LOG_LEVEL"}},
		{"a taken port", []string{"FLUENTPRO_LISTEN=" + running.addr()}, exitFailure, []string{"FLUENTPRO_LISTEN", "address already in use"}},
		{"no Postgres there", []string{"FLUENTPRO_DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/x"}, exitFailure, []string{"FLUENTPRO_DATABASE_URL"}},
		{"no Redis there", []string{"FLUENTPRO_REDIS_URL=redis://:hunter2@127.0.0.1:1/0"}, exitFailure, []string{"FLUENTPRO_REDIS_URL"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := launch(t, "failing", tc.env...)
			if code := p.wait(soon); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			said := p.out.String()
			for _, word := range tc.says {
				if !strings.Contains(said, word) {
					t.Errorf("it does not say %s:\n%s", word, said)
				}
			}
			if strings.Contains(said, "hunter2") || strings.Contains(said, "goroutine ") {
				t.Errorf("it says too much:\n%s", said)
			}
		})
	}
}
