package server

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

// fakeTickets notes for whom tickets are made.
type fakeTickets struct {
	asked []sessions.Identity
	only  []conversation.ID
	err   error
}

func (f *fakeTickets) IssueTicket(_ context.Context, id sessions.Identity, only conversation.ID) (string, time.Duration, error) {
	f.asked, f.only = append(f.asked, id), append(f.only, only)
	return "the-ticket", time.Minute, f.err
}

// TestTickets: who may have one, for what.
func TestTickets(t *testing.T) {
	t.Parallel()
	ft := &fakeTickets{}
	f := newFixture(t, func(d *Deps) { d.Tickets, d.Origins = ft, []string{"https://app.example"} })
	cookie := "Cookie: fp_access=tok-ann"
	for _, tc := range []struct {
		name, body string
		headers    []string
		code       fault.Code
		only       conversation.ID
	}{
		{"any", "", []string{ann}, "", ""},
		{"any, empty object", "{}", []string{ann}, "", ""},
		{"for one", `{"conversation":"` + annsID + `"}`, []string{ann}, "", annsID},
		{"by cookie and own origin", "", []string{cookie, "Origin: https://app.example"}, "", ""},
		{"for somebody else's", `{"conversation":"` + bensID + `"}`, []string{ann}, fault.NotFound, ""},
		{"for none", `{"conversation":"` + noID + `"}`, []string{ann}, fault.NotFound, ""},
		{"for nonsense", `{"conversation":"../x"}`, []string{ann}, fault.NotFound, ""},
		{"unknown field", `{"conversations":"` + annsID + `"}`, []string{ann}, fault.Invalid, ""},
		{"nobody", "", nil, fault.Unauthenticated, ""},
		{"expired", "", []string{"Authorization: Bearer old"}, fault.TokenExpired, ""},
		{"cookie without origin", "", []string{cookie}, fault.ForeignOrigin, ""},
		{"cookie from elsewhere", "", []string{cookie, "Origin: https://evil.example"}, fault.ForeignOrigin, ""},
	} {
		*ft = fakeTickets{}
		w := f.call(t, "POST", Prefix+"/tickets", tc.body, tc.headers...)
		if tc.code != "" {
			wantProblem(t, w, tc.code)
			if len(ft.asked) != 0 {
				t.Errorf("%s: a ticket was made", tc.name)
			}
			continue
		}
		var got ticketBody
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 201 || got.Ticket != "the-ticket" || got.ExpiresIn != 60 {
			t.Errorf("%s: got %d %s, %v", tc.name, w.Code, w.Body, err)
		}
		if len(ft.asked) != 1 || ft.asked[0].LearnerID != "ann" || ft.only[0] != tc.only {
			t.Errorf("%s: made for %+v %v", tc.name, ft.asked, ft.only)
		}
		if cc := w.Header().Get("Cache-Control"); cc != "no-store" {
			t.Errorf("%s: Cache-Control %q", tc.name, cc)
		}
	}
	*ft = fakeTickets{err: fault.Wrap(errors.New("redis 10.0.0.7 refused"), fault.StorageUnavailable, "No ticket can be made right now.")}
	p := wantProblem(t, f.call(t, "POST", Prefix+"/tickets", "", ann), fault.StorageUnavailable)
	if strings.Contains(p.Detail, "10.0.0.7") {
		t.Errorf("told %q", p.Detail)
	}
	if strings.Contains(f.logs.String(), "the-ticket") {
		t.Error("a ticket stands in the log")
	}
}
