package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// look weighs all keys of these conversations, and those of no conversation.
func (r *memoryRun) look(ctx context.Context, all []spoken) (*Footprint, error) {
	// Redis gives buffers of its clients back within some seconds.
	if err := pause(ctx, 5*time.Second); err != nil {
		return nil, err
	}
	c, err := r.redis.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	ids := map[string]bool{}
	for _, s := range all {
		ids[s.id] = true
	}
	f := &Footprint{Conversations: len(all)}
	if f.Used, err = c.usedMemory(); err == nil {
		err = f.keys(c, ids)
	}
	return f, err
}

// keys adds up what the keys take.
func (f *Footprint) keys(c *redisConn, ids map[string]bool) error {
	f.Kinds = map[string]int64{}
	whole := 0
	found, err := c.keys()
	if err != nil {
		return err
	}
	for key := range found {
		id, kind := keyKind(key)
		if kind == "" || id != "" && !ids[id] {
			continue
		}
		n, err := c.number("MEMORY", "USAGE", key, "SAMPLES", "0")
		if err != nil {
			return err
		}
		f.Kinds[kind] += n
		switch kind {
		case "m":
			whole++
		case "l":
			if n, err = c.number("XLEN", key); err != nil {
				return err
			}
			f.Entries += n
		}
	}
	if whole != len(ids) {
		return fmt.Errorf("%d of %d conversations are in Redis", whole, len(ids))
	}
	return nil
}

// keyKind tells what a key is: a log's letter with its conversation, "visits"
// for who is there and who writes, "events", or nothing that counts here.
func keyKind(key string) (id, kind string) {
	p := strings.Split(key, ":")
	switch {
	case p[0] == "cv" && len(p) == 5 && slices.Contains(logKinds, p[4]):
		return p[3], p[4]
	case p[0] == "cv" && len(p) == 4 && p[3] == "lk", p[0] == "sd", p[0] == "sc", p[0] == "sv":
		return "", "visits"
	case p[0] == "ev":
		return "", "events"
	}
	return "", ""
}

// weigh adds a state to the report, as growth since before.
func (r *memoryRun) weigh(ctx context.Context, state string, all []spoken, before *Footprint) error {
	f, err := r.look(ctx, all)
	if err != nil {
		return err
	}
	f.State = state
	f.Used -= before.Used
	for _, k := range []string{"visits", "events"} {
		f.Kinds[k] -= before.Kinds[k]
	}
	r.out = append(r.out, *f)
	r.o.say("%s: %d conversations, %.1f KiB each", state, f.Conversations, f.each(f.logs()))
	return nil
}

// logs is the sum of the conversations' own keys.
func (f *Footprint) logs() (n int64) {
	for _, k := range logKinds {
		n += f.Kinds[k]
	}
	return n
}

// each is a conversation's share in KiB.
func (f *Footprint) each(n int64) float64 { return float64(n) / float64(f.Conversations) / 1024 }

// WriteMemory prints what Redis holds.
func WriteMemory(w io.Writer, fs []Footprint, mo MemoryOptions, c *Conditions) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("Live: a reply of %d tokens, shown up to its last token and still open, one viewer. At rest: %d messages of %d characters, each answered by %d tokens. %g tokens/s of about 6 bytes, %d conversations of a learner.",
		memoryLive, memoryAsked, len(memorySays), memoryTokens, mo.Rate, memoryEach)
	p("")
	p("| conversations | keys of each, MEMORY USAGE | growth of used_memory for each | of it visits, viewers, lock | of it domain events | entries of its log |")
	p("| --- | --- | --- | --- | --- | --- |")
	for _, f := range fs {
		p("| %d %s | %.1f KiB | %.1f KiB | %.1f KiB | %.1f KiB | %.0f |", f.Conversations, f.State, f.each(f.logs()), f.each(f.Used), f.each(f.Kinds["visits"]),
			f.each(f.Kinds["events"]), float64(f.Entries)/float64(f.Conversations))
	}
	p("")
	p("| KiB of each, by key | `:m` state | `:l` log | `:p` open text | `:t` turns | `:h` header |")
	p("| --- | --- | --- | --- | --- | --- |")
	for _, f := range fs {
		row := "| " + f.State
		for _, k := range logKinds {
			row += fmt.Sprintf(" | %.2f", f.each(f.Kinds[k]))
		}
		p("%s |", row)
	}
	writeConditions(w, c)
}
