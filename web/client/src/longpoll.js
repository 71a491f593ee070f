// Plain requests for the log: the transport that every proxy lets through.
import { ClientError, connectionLost } from './fault.js';
import { reading } from './reading.js';

const WAIT_S = 25;
const LIMIT = 500;

/**
 * Speaks docs/protocol.md, "JSON log".
 * @param {import('./connection.js').TransportOptions} o
 * @param {import('./connection.js').Sink} sink
 */
export const longPoll = (o, sink) => reading(o, sink, async (r) => {
  /** @param {string} path */
  const get = (path) => o.http.json('GET', path, undefined, { signal: r.signal });
  let wait = 0; // The first answer comes at once, so that "online" does too.
  while (!r.signal.aborted) {
    r.arm((wait + 15) * 1000);
    let page = null;
    try {
      if (r.cur) page = await get(`${r.path}/log?after=${encodeURIComponent(r.cur)}&limit=${LIMIT}&wait=${wait}`);
    } catch (err) {
      if (!(err instanceof ClientError) || err.code !== 'cursor_gone') throw err;
      // The cursor is kept until the snapshot is here: the next node may serve it.
    }
    if (page === null) {
      const { cur, state } = await snapshot(get, r.path);
      // Without a cursor it has no place in the log: something to show, no more.
      if (!cur && r.cur) throw connectionLost();
      const snap = { type: 'snapshot', cur, state };
      r.take(r.cur ? [{ type: 'reset', reason: 'cursor_gone' }, snap] : [snap]);
      if (!cur) throw connectionLost();
      r.cur = cur;
      continue;
    }
    if (page.cur) r.cur = page.cur;
    const msgs = page.events ?? [];
    if (!page.more) msgs.push({ type: 'caught_up', cur: r.cur });
    r.take(msgs);
    wait = page.more ? 0 : WAIT_S;
  }
});

/**
 * The state, under whichever of its two names the id has one: the log is the
 * same for both kinds, the resource is not.
 * @param {(path: string) => Promise<any>} get
 * @param {string} path
 */
async function snapshot(get, path) {
  try {
    return await get(path);
  } catch (err) {
    if (!(err instanceof ClientError) || err.status !== 404) throw err;
    return get(path.replace('/conversations/', '/scenario-requests/'));
  }
}
