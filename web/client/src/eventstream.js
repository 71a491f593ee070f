// SSE read by fetch: one stream for each conversation, the same cursor.
import { DEADLINE_FACTOR, SSE_HEARTBEAT_MS } from './protocol.js';
import { connectionLost, errorOf, toError } from './fault.js';
import { SSEParser } from './sse.js';
import { reading } from './reading.js';

const FIRST_BYTE_MS = 10_000;
/** A stream that ended cleanly after this long did its work. */
const LIVED_MS = 1000;

/**
 * Speaks docs/protocol.md, "SSE".
 * @param {import('./connection.js').TransportOptions} o
 * @param {import('./connection.js').Sink} sink
 */
export const eventStream = (o, sink) => reading(o, sink, async (r) => {
  const began = o.clock.now();
  r.arm(FIRST_BYTE_MS);
  /** @type {Record<string, string>} */
  const headers = { Accept: 'text/event-stream, application/json' };
  if (r.cur) headers['Last-Event-ID'] = r.cur;
  const res = await o.http.raw(`${r.path}/events`, { headers, signal: r.signal });
  if (res.status === 204) {
    r.take([{ type: 'caught_up', cur: r.cur }]);
    return r.ended();
  }
  if (!res.ok) throw await errorOf(res);
  // Some platforms (React Native) have fetch and no streams.
  if (!res.body?.getReader) return r.blocked();
  const body = res.body.getReader();
  const parser = new SSEParser();
  for (;;) {
    const { done, value } = await body.read();
    if (r.signal.aborted) return;
    if (done) break;
    r.arm(SSE_HEARTBEAT_MS * DEADLINE_FACTOR);
    r.take(parser.push(value).flatMap((m) => message(m, r)));
    if (parser.lastEventId) r.cur = parser.lastEventId;
  }
  if (r.signal.aborted) return;
  if (o.clock.now() - began < LIVED_MS) throw connectionLost();
  r.again();
});

/**
 * @param {import('../index.d.ts').SSEMessage} m
 * @param {import('./reading.js').Reader} r
 * @returns {any[]}
 */
function message(m, r) {
  if (m.type !== 'message') return []; // a heartbeat
  let msg;
  try {
    msg = JSON.parse(m.data);
  } catch {
    return []; // An unreadable event leaves a hole, and the hole leads to a resume.
  }
  // A control message carries its cursor as the id of its block.
  if (msg.type === 'snapshot' && !msg.cur) msg.cur = m.id;
  if (msg.type !== 'error') return [msg];
  r.problem(toError(msg));
  return [];
}
