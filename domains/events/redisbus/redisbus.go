// Package redisbus carries domain events over a Redis stream with consumer
// groups. It works on anything from the embedded miniredis to a Cluster.
package redisbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/domains/events"
)

// deadKept is how many dead letters stay on their stream.
const deadKept = 1000

// callTime bounds every call that does not wait for events, so that nobody
// waits for a Redis that hangs; a pass that failed is made again.
const callTime = 300 * time.Millisecond

// slack is what a call that waits for events may take beyond that wait.
const slack = 250 * time.Millisecond

// Bus implements events.Bus. It is safe for concurrent use.
type Bus struct {
	rdb redis.UniversalClient
}

var _ events.Bus = (*Bus)(nil)

// New makes a Bus. Reads wait on a connection each, so rdb should not be the
// client that others are in a hurry with.
func New(rdb redis.UniversalClient) *Bus { return &Bus{rdb} }

// appendScript adds entries behind the end that the caller saw.
// KEYS: the stream. ARGV: the position it should end with (0: empty), then
// position and event, in turn. Returns how many were added. Atomic, because two
// relays may send at once: the second finds that the end has moved and adds
// nothing.
var appendScript = redis.NewScript(`
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local top = '0'
if last[1] then top = string.match(last[1][1], '^%d+') end
if top ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do
  redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'e', ARGV[i + 1])
end
return (#ARGV - 1) / 2
`)

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTime)
}

// Top is the position of the newest entry.
func (b *Bus) Top(ctx context.Context) (int64, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	msgs, err := b.rdb.XRevRangeN(ctx, keyStream(), "+", "-", 1).Result()
	if err != nil {
		return 0, fmt.Errorf("read end of stream: %w", err)
	}
	if len(msgs) == 0 {
		return 0, nil
	}
	return position(msgs[0].ID), nil
}

// position is the event's place that an entry's id holds.
func position(id string) int64 {
	n, _, _ := strings.Cut(id, "-")
	p, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return 0
	}
	return p
}

// Append puts events behind top.
func (b *Bus) Append(ctx context.Context, top int64, evs []events.Event) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	args := make([]any, 0, 1+2*len(evs))
	args = append(args, strconv.FormatInt(top, 10))
	for _, e := range evs {
		body, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode event %s: %w", e.ID, err)
		}
		args = append(args, strconv.FormatInt(e.Position, 10), body)
	}
	added, err := appendScript.Run(ctx, b.rdb, []string{keyStream()}, args...).Int()
	if err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	if added != len(evs) {
		return events.ErrMoved
	}
	return nil
}

// Reset throws the stream and its groups away.
func (b *Bus) Reset(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := b.rdb.Del(ctx, keyStream()).Err(); err != nil {
		return fmt.Errorf("reset stream: %w", err)
	}
	return nil
}

// Trim lets go of old positions. The newest always stays, because it says how
// far the stream is.
func (b *Bus) Trim(ctx context.Context, keep int64) error {
	top, err := b.Top(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := b.rdb.XTrimMinID(ctx, keyStream(), strconv.FormatInt(min(keep, top), 10)).Err(); err != nil {
		return fmt.Errorf("trim stream: %w", err)
	}
	return nil
}

func noGroup(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "NOGROUP")
}

// makeGroup begins at the front: a new group, and one that was lost with its
// Redis, see all there is, and SQL knows what they have settled.
func (b *Bus) makeGroup(ctx context.Context, group string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := b.rdb.XGroupCreateMkStream(ctx, keyStream(), group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("make group: %w", err)
	}
	return nil
}

// Read waits for new entries.
func (b *Bus) Read(ctx context.Context, group, consumer string, most int, wait time.Duration) ([]events.Delivery, error) {
	long, cancel := context.WithTimeout(ctx, wait+slack)
	defer cancel()
	res, err := b.rdb.XReadGroup(long, &redis.XReadGroupArgs{
		Group: group, Consumer: consumer, Streams: []string{keyStream(), ">"}, Count: int64(most), Block: wait,
	}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case noGroup(err):
		return nil, b.makeGroup(ctx, group)
	case err != nil:
		return nil, fmt.Errorf("read events: %w", err)
	}
	var out []events.Delivery
	for _, s := range res {
		out = append(out, deliveries(s.Messages)...)
	}
	return out, nil
}

func deliveries(msgs []redis.XMessage) []events.Delivery {
	out := make([]events.Delivery, 0, len(msgs))
	for _, m := range msgs {
		d := events.Delivery{Tag: m.ID, Position: position(m.ID)}
		text, _ := m.Values["e"].(string)
		var e events.Event
		if json.Unmarshal([]byte(text), &e) == nil && e.Check() == nil && e.Position == d.Position {
			d.Event = &e
		}
		out = append(out, d)
	}
	return out
}

// Reclaim takes over what was not acknowledged.
func (b *Bus) Reclaim(ctx context.Context, group, consumer string, idle time.Duration, most int) ([]events.Delivery, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	msgs, _, err := b.rdb.XAutoClaim(ctx, &redis.XAutoClaimArgs{
		Stream: keyStream(), Group: group, Consumer: consumer, MinIdle: idle, Start: "0", Count: int64(most),
	}).Result()
	switch {
	case noGroup(err), errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reclaim events: %w", err)
	}
	return deliveries(msgs), nil
}

// Ack ends deliveries.
func (b *Bus) Ack(ctx context.Context, group string, tags ...string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := b.rdb.XAck(ctx, keyStream(), group, tags...).Err(); err != nil {
		return fmt.Errorf("acknowledge event: %w", err)
	}
	return nil
}

// Bury tells of a dead letter.
func (b *Bus) Bury(ctx context.Context, l events.Letter) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode letter: %w", err)
	}
	if err := b.rdb.XAdd(ctx, &redis.XAddArgs{Stream: keyDead(), MaxLen: deadKept, Values: []any{"l", body}}).Err(); err != nil {
		return fmt.Errorf("bury letter: %w", err)
	}
	return nil
}

// forgetPage is how many entries one step of Forget reads.
const forgetPage = 500

// Forget takes the entries of these aggregates off both streams. A delivery of
// one that is gone comes to nobody any more; SQL knows it to be open.
func (b *Bus) Forget(ctx context.Context, aggregates ...events.Aggregate) error {
	top, err := b.Top(ctx)
	if err != nil {
		return err
	}
	of := func(raw any) bool {
		text, _ := raw.(string)
		var e struct {
			Aggregate events.Aggregate `json:"aggregate"`
			// Event is set in letters.
			Event struct {
				Aggregate events.Aggregate `json:"aggregate"`
			} `json:"event"`
		}
		_ = json.Unmarshal([]byte(text), &e) // what cannot be read is of nobody
		return slices.Contains(aggregates, e.Aggregate) || slices.Contains(aggregates, e.Event.Aggregate)
	}
	for stream, field := range map[string]string{keyStream(): "e", keyDead(): "l"} {
		for from := "-"; from != ""; {
			from, err = b.forgetPage(ctx, stream, from, func(m redis.XMessage) bool {
				return of(m.Values[field]) && (stream != keyStream() || position(m.ID) != top)
			})
			if err != nil {
				return fmt.Errorf("forget events: %w", err)
			}
		}
	}
	return nil
}

// forgetPage removes what fits from one page and tells where the next begins.
func (b *Bus) forgetPage(ctx context.Context, stream, from string, fits func(redis.XMessage) bool) (next string, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	page, err := b.rdb.XRangeN(ctx, stream, from, "+", forgetPage).Result()
	if err != nil {
		return "", err
	}
	var gone []string
	for _, m := range page {
		if fits(m) {
			gone = append(gone, m.ID)
		}
	}
	if len(page) == forgetPage {
		next = "(" + page[len(page)-1].ID
	}
	if len(gone) == 0 {
		return next, nil
	}
	return next, b.rdb.XDel(ctx, stream, gone...).Err()
}

// Pending counts what is not acknowledged.
func (b *Bus) Pending(ctx context.Context, group string) (int64, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	p, err := b.rdb.XPending(ctx, keyStream(), group).Result()
	switch {
	case noGroup(err), errors.Is(err, redis.Nil):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("count pending events: %w", err)
	}
	return p.Count, nil
}

// Tidy forgets consumers of nodes that are gone. One with pending entries
// stays until others have taken them over.
func (b *Bus) Tidy(ctx context.Context, group string, silent time.Duration) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	list, err := b.rdb.XInfoConsumers(ctx, keyStream(), group).Result()
	if noGroup(err) || err != nil && strings.Contains(err.Error(), "no such key") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list consumers: %w", err)
	}
	for _, c := range list {
		if c.Pending > 0 || c.Idle < silent {
			continue
		}
		if err := b.rdb.XGroupDelConsumer(ctx, keyStream(), group, c.Name).Err(); err != nil {
			return fmt.Errorf("forget consumer: %w", err)
		}
	}
	return nil
}
