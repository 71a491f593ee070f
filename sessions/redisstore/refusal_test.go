package redisstore

import (
	"reflect"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/sessions"
)

// A Redis that takes no writes changes nothing by half and tells what it has,
// without what has ended, which it cannot remove.
func TestRefusedWrites(t *testing.T) {
	t.Parallel()
	for name, set := range map[string][2]string{"full": {"maxmemory", "1"}, "without replicas": {"min-replicas-to-write", "1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			rdb := client(t, testenv.Redis(t).Addr)
			st := New(rdb, Options{Timeout: roomy, SessionTTL: time.Hour, Lease: time.Hour})
			old := New(rdb, Options{Timeout: roomy, SessionTTL: time.Millisecond})
			visit, gone := sessions.Session{ID: "one", User: "ann", Holder: "c1", Created: time.Now()}, sessions.Session{ID: "two", User: "ann", Holder: "c2", Created: time.Now()}
			id := conversation.NewID()
			conns := []sessions.Connection{{ID: "x", Node: "n1", User: "ann", Session: sessions.HashID("one")}, {ID: "y", Node: "dead", User: "ann"}}
			_, beat := st.Beat(ctx, "n1")
			for _, err := range []error{beat, old.Create(ctx, gone), st.Create(ctx, visit), st.PutConnections(ctx, conns),
				st.PutViewers(ctx, []sessions.Viewer{{Conversation: id, Conn: "x", Node: "n1"}, {Conversation: id, Conn: "y", Node: "dead"}}),
				st.PutTicket(ctx, "h", sessions.Ticket{User: "ann"}, time.Hour)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			dump := func() (out [4]any) {
				out[0], out[1] = rdb.HGetAll(ctx, keyVisits("ann")).Val(), rdb.HGetAll(ctx, keyConnections("ann")).Val()
				out[2], out[3] = rdb.HGetAll(ctx, keyViewers(id)).Val(), rdb.Get(ctx, keyTicket("h")).Val()
				return out
			}
			before := dump()
			if err := rdb.ConfigSet(ctx, set[0], set[1]).Err(); err != nil {
				t.Fatal(err)
			}
			errs := map[string]error{
				"create visit": st.Create(ctx, sessions.Session{ID: "three", User: "ann", Created: time.Now()}),
				"put viewers":  st.PutViewers(ctx, []sessions.Viewer{{Conversation: id, Conn: "z", Node: "n1"}}),
				"put ticket":   st.PutTicket(ctx, "i", sessions.Ticket{User: "ann"}, time.Hour),
			}
			_, _, errs["take visit"] = st.Take(ctx, "one", "ann", "c9")
			_, errs["extend visit"] = st.Extend(ctx, visit)
			_, errs["enter"] = st.Enter(ctx, sessions.Connection{ID: "z", Node: "n1", User: "ann"}, 8)
			for what, err := range errs {
				if err == nil {
					t.Errorf("%s was not refused", what)
				}
			}
			if after := dump(); !reflect.DeepEqual(before, after) {
				t.Errorf("was %v, is %v", before, after)
			}
			if _, ok, err := st.Get(ctx, "one", "ann"); !ok || err != nil {
				t.Errorf("get: %v %v", ok, err)
			}
			if l, err := st.List(ctx, "ann"); err != nil || len(l) != 1 {
				t.Errorf("visits: %v %v", l, err)
			}
			if l, err := st.Connections(ctx, "ann"); err != nil || len(l) != 1 {
				t.Errorf("connections: %v %v", l, err)
			}
			if l, err := st.ListViewers(ctx, id); err != nil || len(l) != 1 {
				t.Errorf("viewers: %v %v", l, err)
			}
		})
	}
}
