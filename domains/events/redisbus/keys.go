package redisbus

// Every key of this package is made here. All share one hash tag, so on a
// Cluster they lie in one slot and a script may touch them together.

// keyStream is the stream of events.
// Type: stream; ids are "<position>-0", the one field e is the event as JSON.
// Consumer groups: one per group of handlers, consumers named by node. TTL:
// none, trimmed to what some group has not settled and 1,000 positions more.
// Writer: Bus.Append (script append), Bus.Trim, Bus.Forget.
func keyStream() string { return "ev:{bus}:stream" }

// keyDead is the stream of dead letters, for whoever watches; SQL has them.
// Type: stream; the field l is the letter as JSON. TTL: none, the newest 1,000.
// Writer: Bus.Bury, Bus.Forget.
func keyDead() string { return "ev:{bus}:dead" }
