// Package redislog is the live side of conversations in Redis: the event log,
// the scripts that check fence, epoch and incarnation in the same step in
// which they write, the lock, and the bell that carries each event to the
// nodes. docs/redis.md describes keys and scripts. Nothing here is precious:
// every key may vanish at any moment and is rebuilt from SQL and, for open
// text, from its living writer.
package redislog

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
)

var (
	//go:embed scripts/lib.lua
	libLua string
	//go:embed scripts/append.lua
	appendLua string
	//go:embed scripts/batch.lua
	batchLua string
	//go:embed scripts/begin.lua
	beginLua string
	//go:embed scripts/create.lua
	createLua string
	//go:embed scripts/fact.lua
	factLua string
	//go:embed scripts/stop.lua
	stopLua string
	//go:embed scripts/read.lua
	readLua string
	//go:embed scripts/active.lua
	activeLua string

	appendScript = redis.NewScript(libLua + appendLua + "return append()")
	batchScript  = redis.NewScript(libLua + appendLua + batchLua)
	beginScript  = redis.NewScript(libLua + beginLua)
	createScript = redis.NewScript(libLua + createLua)
	factScript   = redis.NewScript(libLua + factLua)
	stopScript   = redis.NewScript(libLua + stopLua)
	readScript   = redis.NewScript(libLua + readLua)
	activeScript = redis.NewScript(libLua + activeLua)
)

// Options tune a Log; zero values mean the defaults in brackets.
type Options struct {
	// Mode is how an incarnation is told: "r" (replication id) or "m" (marker
	// key); see DetectMode ["r"].
	Mode string
	// MaxEntries bounds a log [4000; embedded Redis copies linearly: use 1000].
	MaxEntries int
	// MaxTurns bounds the turns kept in Redis; SQL keeps all [400].
	MaxTurns int
	// Timeout of one call [300ms]; an append may wait for another's before it.
	Timeout time.Duration
}

// Log implements conversation.Log. It is safe for concurrent use. The client
// must have library retries off (MaxRetries -1): the scripts are idempotent,
// but only the caller knows how long a repeat makes sense.
type Log struct {
	rdb  redis.UniversalClient
	opts Options
	inc  *incarnations
	// appends carries appends where there is one primary; nil on a cluster.
	appends *combiner
	// gate spares callers the wait for a Redis that hangs; nil on a cluster.
	gate *gate
	// heavy bounds the calls that carry a whole conversation.
	heavy turnstile
	// listens tells whether this node hears a channel's bell.
	listens func(channel string) bool
}

// New returns a Log on rdb; reg numbers the incarnations.
func New(rdb redis.UniversalClient, reg Registry, opts Options) *Log {
	if opts.Mode == "" {
		opts.Mode = "r"
	}
	if opts.MaxEntries <= 0 {
		opts.MaxEntries = 4000
	}
	if opts.MaxTurns <= 0 {
		opts.MaxTurns = 400
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 300 * time.Millisecond
	}
	_, cluster := rdb.(*redis.ClusterClient)
	l := &Log{rdb: rdb, opts: opts, heavy: make(turnstile, wide), inc: &incarnations{
		rdb: rdb, mode: opts.Mode, cluster: cluster, reg: reg, byShard: map[int]incarnation{}, known: map[string]int64{},
	}}
	l.listens = func(string) bool { return false }
	if one, ok := rdb.(*redis.Client); ok {
		l.gate = newGate(one, opts.Timeout)
		l.appends = &combiner{rdb: one, mode: opts.Mode, entries: opts.MaxEntries, timeout: opts.Timeout}
	}
	return l
}

// Spare lets appends leave the bell alone where this node is the only one who
// listens: whoever appends learns from the answer what it has written. A
// subscription that Redis still counts while it is broken can keep another
// node from hearing for a moment; that node's slow look finds what it missed.
// Call it before the Log is used. On a cluster it does nothing: there a node
// sees only subscribers of its own.
func (l *Log) Spare(b *Bell) {
	if l.appends != nil {
		l.listens = b.listens
	}
}

// Incarnation is the number of the Redis lifetime that serves id now.
func (l *Log) Incarnation(ctx context.Context, id conversation.ID) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	return guarded(ctx, l.gate, func() (int64, error) {
		i, err := l.inc.of(ctx, shard(id))
		return i.inc, down(err)
	})
}

// run executes a script in the right incarnation; an INC answer is met by
// learning the new one and building the call anew, keys included.
func (l *Log) run(ctx context.Context, sc *redis.Script, id conversation.ID, args ...any) ([]string, error) {
	if sc == activeScript || sc == readScript || sc == createScript {
		if err := l.heavy.pass(ctx); err != nil {
			return nil, err
		}
		defer l.heavy.leave()
	}
	return guarded(ctx, l.gate, func() ([]string, error) { return l.runOpen(ctx, sc, id, args) })
}

func (l *Log) runOpen(ctx context.Context, sc *redis.Script, id conversation.ID, args []any) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	s := shard(id)
	for range 3 {
		in, err := l.inc.of(ctx, s)
		if err != nil {
			return nil, down(err)
		}
		keys, argv := l.call(s, in, id, args)
		res, err := sc.Run(ctx, l.rdb, keys, argv...).StringSlice()
		if err != nil {
			return nil, down(err)
		}
		if res[0] != "INC" {
			return verdict(res)
		}
		l.inc.forget(s, in)
	}
	return nil, fmt.Errorf("%w: its incarnation keeps changing", conversation.ErrLogDown)
}

// runAppend is run for the call that costs: appends of all conversations go
// together. What needs a second call goes the usual way, which is safe because
// the script is idempotent.
func (l *Log) runAppend(ctx context.Context, id conversation.ID, args ...any) ([]string, error) {
	s := shard(id)
	if l.appends == nil || ctx.Err() != nil {
		return l.run(ctx, appendScript, id, args...)
	}
	in, known := l.inc.seen(s)
	if !known {
		return l.run(ctx, appendScript, id, args...)
	}
	res, err := guarded(ctx, l.gate, func() ([]string, error) {
		res, err := l.appends.do(ctx, l.ask(s, in, id, args))
		return res, down(err)
	})
	switch {
	case err != nil:
		return nil, err
	case res[0] == "INC":
		return l.run(ctx, appendScript, id, args...)
	}
	return verdict(res)
}

// ask is an append as the combiner takes it.
func (l *Log) ask(s int, in incarnation, id conversation.ID, args []any) *ask {
	return &ask{
		identity: in.identity, mark: l.inc.mark(s), keys: logKeys(s, in.inc, id),
		argv: append([]any{Channel(id), tag(id)}, args...),
	}
}

// call is what every script gets.
func (l *Log) call(s int, in incarnation, id conversation.ID, args []any) (keys []string, argv []any) {
	argv = make([]any, 0, 5+len(args))
	argv = append(argv, l.opts.Mode, in.identity, Channel(id), tag(id), l.opts.MaxEntries)
	return append(logKeys(s, in.inc, id), l.inc.mark(s)), append(argv, args...)
}

// verdict turns the first word of a script's answer into an error.
func verdict(res []string) ([]string, error) {
	switch res[0] {
	case "OK", "DUP", "UNKNOWN":
		return res, nil
	case "MISSING":
		return nil, conversation.ErrLogMissing
	case "EPOCH":
		return nil, conversation.ErrLogEpoch
	case "FENCED":
		return nil, conversation.ErrFenced
	case "REBEGIN":
		return nil, conversation.ErrLogRebegin
	case "NOTOPEN":
		return nil, conversation.ErrLogNotOpen
	case "STOPPED":
		return nil, conversation.ErrLogStopped
	case "TRIMMED":
		return nil, conversation.ErrTrimmed
	case "AHEAD":
		return nil, conversation.ErrAhead
	case "EXISTS":
		return nil, conversation.ErrLogExists
	case "GAP":
		return nil, &conversation.GapError{Have: atoi(res[1])}
	}
	return nil, fmt.Errorf("script answered %q", res[0])
}

// in says which log is damaged.
func in(err error, ep conversation.Epoch) error {
	if d := (*conversation.DamagedError)(nil); errors.As(err, &d) {
		d.Epoch = ep
	}
	return err
}

// down marks everything that is not an answer of ours as "unknown outcome",
// except that a key holds something of another kind.
func down(err error) error {
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), "WRONGTYPE") {
		return damaged("a key holds something of another kind")
	}
	for _, say := range nonsense {
		if strings.Contains(err.Error(), say) {
			return damaged("a script could not work with its numbers")
		}
	}
	return fmt.Errorf("%w: %w", conversation.ErrLogDown, err)
}

// nonsense is how a script fails over numbers that none of ours has written:
// Lua's own words, those of the embedded Redis' Lua, and the stream's refusal
// of an entry that comes before its last. A Redis that is out of memory, takes
// no writes or has just changed its role says something else.
var nonsense = []string{
	"attempt to compare", "attempt to perform arithmetic", "attempt to concatenate", "cannot perform", "bad argument",
	"equal or smaller than the target stream top item",
}

// numeric are the places of numbers in the answer of active.lua.
var numeric = []int{1, 3, 4, 5, 6, 7, 8, 9, 10}

// checkNumbers refuses a picture whose numbers cannot be read.
func checkNumbers(r []string) error {
	for _, i := range numeric {
		if _, err := strconv.ParseInt(r[i], 10, 64); err != nil {
			return damaged("number %d of those kept cannot be read", i)
		}
	}
	return nil
}

func atoi(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // our own scripts wrote it
	return n
}

// Active implements conversation.Log.
func (l *Log) Active(ctx context.Context, id conversation.ID) (conversation.Active, error) {
	var a conversation.Active
	r, err := l.run(ctx, activeScript, id)
	if err != nil {
		return a, err
	}
	if len(r) < 20 {
		return a, errors.New("active: short answer")
	}
	a.Epoch = conversation.Epoch{Counter: atoi(r[1]), Nonce: r[2]}
	if err := checkNumbers(r); err != nil {
		return a, in(err, a.Epoch)
	}
	a.Fence, a.Top, a.Low, a.Facts = atoi(r[3]), atoi(r[4]), atoi(r[5]), atoi(r[6])
	a.StopAt = -1
	if r[12] != "" {
		a.StopAt = atoi(r[12])
	}
	if a.State.Header, err = decodeHeader(id, r[18]); err != nil {
		return a, in(err, a.Epoch)
	}
	if r[11] == "1" {
		a.OpenLen = atoi(r[10])
		a.State.Open = &conversation.OpenReply{
			Run: atoi(r[7]), Attempt: atoi(r[8]), Base: atoi(r[9]), MessageID: r[13], Text: r[19], Stopping: r[12] != "",
		}
	}
	if r[16] != "" {
		a.State.Header.State = conversation.StateEnded
	}
	if r[14] != "" {
		a.State.Result = json.RawMessage(r[14])
	}
	if r[15] != "" {
		a.State.Failure = json.RawMessage(r[15])
	}
	if a.State.Turns, err = decodeTurns(r[20:]); err != nil {
		return a, in(err, a.Epoch)
	}
	a.State.Head = decodeHead(r[17], a.State.Turns)
	return a, nil
}

// Read implements conversation.Log. A hole in what Redis returns (a stream
// that was deleted alone) reads as a missing log.
func (l *Log) Read(ctx context.Context, id conversation.ID, ep conversation.Epoch, after int64, max int) (conversation.Page, error) {
	var p conversation.Page
	r, err := l.run(ctx, readScript, id, ep.Counter, ep.Nonce, after, max)
	if err != nil {
		return p, in(err, ep)
	}
	p.Top = atoi(r[1])
	p.Events = make([]conversation.Event, 0, (len(r)-2)/2)
	for i := 2; i+1 < len(r); i += 2 {
		n := len(r[i]) - len("-0")
		seq := atoi(r[i][:max0(n)])
		if seq != after+int64(len(p.Events))+1 {
			return p, conversation.ErrLogMissing
		}
		ev, err := decodeEntry(id, seq, r[i+1])
		if err != nil {
			return p, in(err, ep)
		}
		p.Events = append(p.Events, ev)
	}
	if len(p.Events) == 0 && after < p.Top {
		return p, conversation.ErrLogMissing
	}
	return p, nil
}

func max0(n int) int { return max(n, 0) }

// Create implements conversation.Log.
func (l *Log) Create(ctx context.Context, id conversation.ID, counter int64, seed conversation.Seed) (conversation.Epoch, error) {
	h, err := encodeHeader(seed.Header)
	if err != nil {
		return conversation.Epoch{}, fmt.Errorf("encode header: %w", err)
	}
	turns := seed.Turns
	if len(turns) > l.opts.MaxTurns {
		turns = turns[len(turns)-l.opts.MaxTurns:]
	}
	args := []any{counter, seed.Fence, seed.Facts, string(seed.Result), string(seed.Failure), seed.Running, encodeHead(seed.Head), h}
	for i := range turns {
		b, err := json.Marshal(&turns[i])
		if err != nil {
			return conversation.Epoch{}, fmt.Errorf("encode turn: %w", err)
		}
		args = append(args, sealed(b))
	}
	r, err := l.run(ctx, createScript, id, args...)
	if err != nil {
		return conversation.Epoch{}, err
	}
	if counter > 1 {
		_ = l.unlinkOlder(ctx, id, formerLives) // else they go when their term ends
	}
	return conversation.Epoch{Counter: counter, Nonce: r[1]}, nil
}

// Begin implements conversation.Log.
func (l *Log) Begin(ctx context.Context, id conversation.ID, ep conversation.Epoch, b conversation.Begin) (conversation.Began, error) {
	started, err := json.Marshal(struct {
		MessageID string `json:"message_id"`
		Parent    int64  `json:"parent"`
	}{b.Run.MessageID, b.Run.Parent})
	if err != nil {
		return conversation.Began{}, err
	}
	r, err := l.run(ctx, beginScript, id, ep.Counter, ep.Nonce, b.Fence, b.Run.No, b.Run.Attempt, string(b.How),
		b.Text, conversation.UTF16Len(b.Text), b.Base, b.Run.Purpose, started, b.Run.MessageID, b.Reason)
	if err != nil {
		return conversation.Began{}, in(err, ep)
	}
	if r[0] == "UNKNOWN" {
		return conversation.Began{}, conversation.ErrLogUnknownRun
	}
	return conversation.Began{Epoch: ep, Base: atoi(r[1]), Len: atoi(r[2]), Text: r[3], Stopped: r[4] != ""}, nil
}

// Append implements conversation.Log.
func (l *Log) Append(ctx context.Context, id conversation.ID, ep conversation.Epoch, a conversation.Append) (int64, int64, error) {
	alone := "0"
	if l.listens(Channel(id)) {
		alone = "1"
	}
	r, err := l.runAppend(ctx, id, ep.Counter, ep.Nonce, a.Fence, a.Run.No, a.Run.Attempt, a.At, a.Len, a.Text, a.Run.Purpose+".delta", alone)
	if err != nil {
		return 0, 0, in(err, ep)
	}
	return atoi(r[1]), atoi(r[2]), nil
}

// PutFact implements conversation.Log; seq is 0 when the log had the fact.
func (l *Log) PutFact(ctx context.Context, id conversation.ID, ep conversation.Epoch, f conversation.Fact) (int64, int64, error) {
	turn, fold, ends, head := "", "", "", ""
	if f.Turn != nil {
		b, err := json.Marshal(f.Turn)
		if err != nil {
			return 0, 0, fmt.Errorf("encode turn: %w", err)
		}
		turn = sealed(b)
	}
	ev := conversation.Event{Type: f.Type}
	if ev.EndsRun() {
		ends = "1"
	}
	fold = conversation.FoldField(f.Type)
	if h, ok := conversation.HeadOf(&f); ok {
		head = encodeHead(h)
	}
	r, err := l.run(ctx, factScript, id, ep.Counter, ep.Nonce, f.N, f.Type, f.Run, f.Attempt, f.Base, string(f.Data),
		turn, ends, fold, "", f.Fence, l.opts.MaxTurns, head)
	if err != nil || r[0] == "DUP" {
		return 0, 0, in(err, ep)
	}
	return atoi(r[1]), atoi(r[2]), nil
}

// Stop implements conversation.Log.
func (l *Log) Stop(ctx context.Context, id conversation.ID, ep conversation.Epoch, run int64) (conversation.Began, error) {
	r, err := l.run(ctx, stopScript, id, ep.Counter, ep.Nonce, run)
	if err != nil {
		return conversation.Began{}, in(err, ep)
	}
	return conversation.Began{Epoch: ep, Base: atoi(r[1]), Len: atoi(r[2]), Text: r[3], Stopped: true}, nil
}
