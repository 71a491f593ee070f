// Package fake is an OpenAI-compatible model server that needs no model. It is
// the partner of a fresh clone (the embedded default), and the stand-in whose
// every token can be checked in tests and benchmarks.
//
// It answers POST /v1/chat/completions, streamed or whole, GET /v1/models,
// POST /v1/embeddings (a function of the text), POST /v1/moderations (which
// objects to one word), and
// errors in OpenAI's shape. Every answer carries X-Fluentpro-Scripted: 1.
//
// The full answer is a pure function of the request without its cap and
// without a trailing partial answer. When the last message is the assistant's
// (a system note behind it is allowed), the answer goes on exactly behind that
// text, if it is a beginning of the full answer. A takeover after kill -9 thus
// gives, character by character, what the first attempt would have given.
//
// # Models
//
// A model name is a base, a fault, or both joined by "+":
// "checkable-200+fault-cut-5".
//
//	scripted       a practice partner in role; for a request with a JSON schema
//	               named "scenario" a whole practice scenario
//	checkable-N    N tokens "<tag>.<index> ", tag from the last user message;
//	               without -N the request's cap, else 50
//	stamped-N      N tokens "<time>.<index> ", the time of sending in
//	               microseconds since 1970 in 16 digits; a measure of delays,
//	               and the one answer that is no function of its request
//
//	obedient       does what a probe of a server asks: remembers a secret word,
//	               counts, fits a schema. Habits are added as "+quirk-NAME":
//	               drop-completion (the cap of that name is ignored), no-usage,
//	               no-schema, no-json (the form is ignored), ctx-N (older text
//	               than N tokens is forgotten silently), refuse-N (it is refused),
//	               thinks, think-tags, no-FIELD (the field is refused)
//
// The cap of a request counts tokens of the whole answer from its beginning;
// checkable-N ignores it. A scenario is written by every base.
//
// # Faults
//
// K is a number of tokens before the fault, 3 when left out; N is a number.
// A fault name that ends in "-once" happens once per distinct request (a
// continuation counts as the same), then the base answers normally.
//
//	fault-silent            no status line, ever
//	fault-headers           status and header, then nothing
//	fault-comments          comments every 100 ms, nothing else
//	fault-comments-first-N  N comments with blank lines, then the answer
//	fault-slow-first-N      first token after N ms (21000)
//	fault-stall-K           silence after K tokens
//	fault-stall-comments-K  comments only after K tokens
//	fault-cut-K             clean end of the body, no finish reason, no done
//	fault-rst-K             TCP reset in the middle of a frame
//	fault-no-done           finish reason, then the end
//	fault-no-finish         done marker without a finish reason
//	fault-done-open         done marker, then the body stays open
//	fault-finish-open       finish reason, then the body stays open
//	fault-utf8-K            half a character, then the end
//	fault-utf8-split        every character beyond ASCII cut in two frames
//	fault-error-midstream-K data: {"error":…}
//	fault-error-space-K     the same with spaces in it
//	fault-error-late-K      error behind other keys of a chunk
//	fault-error-event-K     event: error
//	fault-error-noline-K    an error frame without an end of line, then silence
//	fault-finish-error-K    finish reason "error"
//	fault-filter-K          finish reason "content_filter"
//	fault-refusal           the refusal field instead of text
//	fault-reasoning-K       K frames of reasoning, then the answer
//	fault-starved           reasoning only, finish reason "length"
//	fault-empty             no text, finish reason "stop"
//	fault-200-error         status 200 with a JSON error
//	fault-json              the whole answer as JSON although a stream was asked for
//	fault-html, fault-502-html, fault-garbage, fault-garbage-K, fault-redirect
//	fault-S[-A]             status S (400…599) with Retry-After A: seconds, "date", or "Nms"
//	fault-400-NAME          400 that names NAME, if the request has that field
//	fault-empty-choices     chunks without choices and without delta between tokens
//	fault-nulls             every optional field null
//	fault-index-1           a second choice beside the first
//	fault-double-finish     the finish reason twice
//	fault-after-finish      text behind the finish reason
//	fault-crlf, fault-multiline, fault-nospace, fault-noblank  other legal and common spellings
//	fault-long-line         one line over 1 MiB
//	fault-tiny-N            N tokens of one byte
//	fault-flood             no delay between tokens, no flush
//	fault-gzip-bomb         8 MiB of zeros, compressed, uninvited
//
// A server that never accepts a connection is a closed port; no model needed.
//
// # Time
//
// Options set the delay before the first token and between tokens; the request
// headers X-Fake-First-Delay and X-Fake-Token-Delay (Go durations) override
// them for one request. Tokens are due at fixed times from the first one on,
// so a slow moment does not lower the rate.
package fake
