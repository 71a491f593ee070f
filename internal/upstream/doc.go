// Package upstream carries one chat completion request to an OpenAI-compatible
// server and brings back an answer in one strict form, whatever the server's
// habits are.
//
// go-openai reads a stream line by line and takes the end of the body for the
// end of the answer, so a cut stream, an error frame with a space in it or an
// HTML page all look like a finished answer. A Doer stands between go-openai
// and the network: it parses the event stream by the rules of the HTML
// standard, drops comments, turns every error form into one *fault.Error whose
// cause is an *Error, caps lines and bodies, and writes the frames anew in a
// small canonical form. What go-openai cannot show (request id, Retry-After,
// reasoning, how the stream ended) is kept in a Call that travels in the
// context.
//
// # Time
//
// Four clocks run: connecting (5 s), waiting for the first content (20 s),
// waiting for further content (15 s), and the whole answer (90 s). Content is
// text, a refusal, or reasoning: the model is at work. A comment is not
// content, because a proxy can send comments for ever in front of a model that
// has died, and a learner waits for words. Where a server is known to send
// comments only while it works (OpenRouter, a local server that loads a model),
// Options.CommentsAreLife lets them push the two content clocks on; the clock
// for the whole answer still ends it.
//
// # Completeness
//
// An answer is complete only when a finish reason was seen. After it the Doer
// waits Timeouts.Tail for token usage and the done marker; their absence does
// no harm. The done marker alone, or the end of the body alone, is
// upstream_truncated.
//
// # Secrecy
//
// Error strings carry a status, short machine words and nothing else: neither
// keys nor anything the upstream wrote, since upstreams quote the prompt. The
// upstream's own words are in Error.Detail, masked and cut to 2 KB, for the
// code that must tell one refusal from another.
package upstream
