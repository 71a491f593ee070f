package redislog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
)

func TestShredKeepsALogFromComingBack(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		id, ep := e.writing()
		b, _ := e.ring()
		var watching ear
		e.listen(b, id, &watching)
		if err := e.log.Shred(ctx, id, 5); err != nil {
			t.Fatal(err)
		}
		if got := watching.waitFor(t, 1); got[0].Type != "erased" {
			t.Errorf("viewers heard %+v", got[0])
		}
		_, _, err := e.log.Append(ctx, id, ep, piece(1, fence+1, 4, "zombie"))
		errIs(t, "a zombie's append", err, conversation.ErrLogEpoch)
		_, err = e.log.Active(ctx, id)
		errIs(t, "active", err, conversation.ErrLogMissing)
		for _, counter := range []int64{2, 5} {
			_, err = e.log.Create(ctx, id, counter, conversation.Seed{Header: header(id)})
			errIs(t, "a zombie's log", err, conversation.ErrLogExists)
		}
		errIs(t, "shred again", e.log.Shred(ctx, id, 5), nil)
		for k, v := range e.dump(id) {
			if m, ok := v.(map[string]string); !ok || len(m) != 2 || m["c"] != "5" || m["n"] != "erased" {
				t.Errorf("%s holds %v", k, v)
			}
			if ttl := e.rdb.TTL(ctx, k).Val(); ttl <= 0 {
				t.Errorf("%s stays for ever", k)
			}
		}
	})
}

// What an older lifetime of Redis left is erased too.
func TestShredLooksInOlderLives(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		id, _ := e.writing()
		e.reborn()
		if err := e.open(redislog.Options{}).Shred(t.Context(), id, 9); err != nil {
			t.Fatal(err)
		}
		if ks := e.keys(id); len(ks) != 1 || !strings.HasSuffix(ks[0], ":m") {
			t.Errorf("left: %v", ks)
		}
	})
}

// A Redis that restarts often must not fill up with logs that nobody reads.
func TestANewLogTakesTheOldOnesAway(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		id, _ := e.writing()
		other, _ := e.writing()
		for counter := range int64(3) {
			e.reborn()
			e.log = e.open(redislog.Options{})
			if _, err := e.log.Create(t.Context(), id, counter+2, conversation.Seed{Header: header(id)}); err != nil {
				t.Fatal(err)
			}
			if ks := e.keys(id); len(ks) != 2 { // a header and a state, no text yet
				t.Errorf("after %d restarts: %v", counter+1, ks)
			}
		}
		if ks := e.keys(other); len(ks) < 3 {
			t.Errorf("another conversation's keys went too: %v", ks)
		}
		if _, err := e.log.Active(t.Context(), id); err != nil {
			t.Errorf("the new log: %v", err)
		}
	})
}

func TestCompactOnlyAtRest(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		id, ep := e.writing()
		at := int64(4)
		for range 100 {
			if _, _, err := e.log.Append(ctx, id, ep, piece(1, fence+1, at, "x")); err != nil {
				t.Fatal(err)
			}
			at++
		}
		if did, err := e.log.Compact(ctx, id); did || err != nil {
			t.Errorf("compacted while a run is open: %v, %v", did, err)
		}
		if _, _, err := e.log.PutFact(ctx, id, ep, completed(3)); err != nil {
			t.Fatal(err)
		}
		before := e.active(id)
		if did, err := e.log.Compact(ctx, id); !did || err != nil {
			t.Errorf("not compacted: %v, %v", did, err)
		}
		if did, err := e.log.Compact(ctx, id); did || err != nil {
			t.Errorf("compacted twice: %v, %v", did, err)
		}
		after := e.active(id)
		if after.Low <= before.Low || after.Top != before.Top {
			t.Errorf("from %d..%d to %d..%d", before.Low, before.Top, after.Low, after.Top)
		}
		same(t, "compaction", before.State, after.State)
		_, err := e.log.Read(ctx, id, ep, before.Low, 10)
		errIs(t, "a cursor below", err, conversation.ErrTrimmed)
		p, err := e.log.Read(ctx, id, ep, after.Low-1, 500)
		if err != nil || int64(len(p.Events)) != after.Top-after.Low+1 {
			t.Errorf("%d events, %v", len(p.Events), err)
		}
		_, err = e.log.Compact(ctx, conversation.NewID())
		errIs(t, "no log", err, conversation.ErrLogMissing)
		for _, k := range e.keys(id) {
			if strings.HasSuffix(k, ":m") {
				e.do("HDEL", k, "lo")
			}
		}
		if _, err = e.log.Compact(ctx, id); errors.Is(err, conversation.ErrLogDown) {
			t.Errorf("a log without a front says that Redis is away: %v", err)
		}
	})
}

// hurt changes one kind of key of a log by a foreign hand.
func (e *env) hurt(id conversation.ID, how string) {
	e.t.Helper()
	ctx := e.t.Context()
	key := func(kind string) string {
		for _, k := range e.keys(id) {
			if strings.HasSuffix(k, ":"+kind) {
				return k
			}
		}
		e.t.Fatalf("no key %s", kind)
		return ""
	}
	switch how {
	case "a byte of a turn":
		t := e.rdb.LIndex(ctx, key("t"), 0).Val()
		e.do("LSET", key("t"), 0, strings.Replace(t, "Hello", "Hallo", 1))
	case "a turn that is no JSON":
		e.do("LSET", key("t"), 0, "00000000{")
	case "a cut header":
		e.do("SET", key("h"), "x")
	case "the header of another":
		other, _ := e.create()
		for _, k := range e.keys(other) {
			if strings.HasSuffix(k, ":h") {
				e.do("SET", key("h"), e.rdb.Get(ctx, k).Val())
			}
		}
	case "a stream that is a string":
		k := key("l")
		e.do("DEL", k)
		e.do("SET", k, "x")
	case "a number that is none":
		e.do("HSET", key("m"), "top", "many")
	case "a number that is gone":
		e.do("HDEL", key("m"), "lo")
	case "a hash that is a list":
		k := key("m")
		e.do("DEL", k)
		e.do("RPUSH", k, "x")
	}
}

// A number that is none makes a log damaged for whoever meets it, and never
// reads as a Redis that is away, which all would wait for.
func TestNumbersThatAreNone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		for _, field := range []string{"c", "f", "top", "lo", "fn", "run", "att", "rb", "len", "pl", "tn"} {
			for _, value := range []string{"many", "9", ""} {
				id, ep := e.writing()
				for _, k := range e.keys(id) {
					switch {
					case !strings.HasSuffix(k, ":m"):
					case value == "":
						e.do("HDEL", k, field)
					default:
						e.do("HSET", k, field, value)
					}
				}
				check := func(what string, err error) {
					t.Helper()
					if errors.Is(err, conversation.ErrLogDown) {
						t.Errorf("%s of %q, %s: %v", field, value, what, err)
					}
				}
				_, err := e.log.Active(ctx, id)
				check("active", err)
				_, err = e.log.Read(ctx, id, ep, 0, 10)
				check("read", err)
				_, _, err = e.log.Append(ctx, id, ep, piece(1, fence+1, 4, "x"))
				check("append", err)
				_, _, err = e.log.PutFact(ctx, id, ep, completed(3))
				check("fact", err)
				_, err = e.log.Stop(ctx, id, ep, 1)
				check("stop", err)
				_, err = e.log.Compact(ctx, id)
				check("compact", err)
				if _, err = e.log.SetAside(ctx, id, ep); err != nil {
					t.Error(err)
				}
				if _, err = e.log.Create(ctx, id, 20, conversation.Seed{Fence: fence + 1, Header: header(id)}); err != nil {
					t.Errorf("%s of %q: not made anew: %v", field, value, err)
				}
			}
		}
	})
}

// Whatever is wrong with a log: it is found, moved away whole, and what is
// made in its place is left alone.
func TestDamageIsSetAside(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"a byte of a turn", "a turn that is no JSON", "a cut header", "the header of another", "a stream that is a string", "a hash that is a list", "a number that is none", "a number that is gone"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, e *env) {
				ctx := t.Context()
				id, ep := e.writing()
				e.hurt(id, how)
				if _, err := e.log.Compact(ctx, id); errors.Is(err, conversation.ErrLogDown) {
					t.Errorf("to compact it says that Redis is away: %v", err)
				}
				_, err := e.log.Active(ctx, id)
				if how == "a stream that is a string" { // a snapshot does not need it
					_, err = e.log.Read(ctx, id, ep, 0, 10)
				}
				errIs(t, "found", err, conversation.ErrLogDamaged)
				if strings.Contains(err.Error(), "Hallo") {
					t.Errorf("text of a learner in %q", err)
				}
				place, err := e.log.SetAside(ctx, id, ep)
				if err != nil || place == "" {
					t.Fatalf("set aside: %q, %v", place, err)
				}
				_, err = e.log.Active(ctx, id)
				errIs(t, "then", err, conversation.ErrLogMissing)
				ks, err := e.rdb.Keys(ctx, place+"*").Result()
				if err != nil || len(ks) != 5 {
					t.Errorf("kept %v, %v", ks, err)
				}
				for _, k := range ks {
					if ttl := e.rdb.TTL(ctx, k).Val(); ttl <= 0 {
						t.Errorf("%s stays for ever", k)
					}
				}
				if _, err := e.log.Create(ctx, id, 2, conversation.Seed{Fence: fence + 1, Header: header(id)}); err != nil {
					t.Fatal(err)
				}
				// Another node found the damage too, and comes late.
				if place, err := e.log.SetAside(ctx, id, ep); err != nil || place != "" {
					t.Errorf("the new log was set aside at %q, %v", place, err)
				}
				e.active(id)
			})
		})
	}
}
