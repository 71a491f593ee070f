// Package resilience is how a call to somebody else's server fails well: mail,
// search, identity providers, embeddings. A Guard holds one service's rules:
//
//   - a deadline for each try and one for all tries together;
//   - repeats of transient failures only, after a full-jitter wait that doubles
//     or after what the server asked for in Retry-After, never longer than the
//     time that is left;
//   - a budget that keeps repeats a fifth of the calls under way, so that a
//     service in trouble is not given three times its load;
//   - a circuit breaker that answers at once while the service is down and lets
//     one probe through at a time.
//
// Only what is safe to do twice is done twice: Do is for such calls, Once is
// for the others and repeats only what surely never left this machine.
//
// A Cache reads through to what is slow: one load per key however many ask, a
// time to live, and entries that belong to one owner.
//
// Calls for a model's answer do not come through here: they stream, and
// conversation/openai guards them with the same library.
package resilience
