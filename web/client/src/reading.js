// The life of a transport that reads by HTTP: one reader for each conversation,
// started, started anew and ended in the same way whatever it reads.
import { BROKEN, NO_HEARTBEAT, UNAUTHENTICATED } from './protocol.js';
import { ClientError } from './fault.js';
import { restCommand } from './rest.js';

/** @typedef {import('./connection.js').Sink} Sink */
/** @typedef {import('./connection.js').TransportOptions} TransportOptions */
/**
 * What a read is given. `cur` is where it stands and is its own to move.
 * @typedef {{
 *   path: string, cur: string, signal: AbortSignal,
 *   arm: (ms: number) => void, take: (msgs: any[]) => void, problem: (err: ClientError) => void,
 *   again: () => void, ended: () => void, blocked: () => void,
 * }} Reader
 */

/**
 * Makes such a transport. `read` reads one conversation until it ends; what it
 * throws ends the transport, except that a conversation which is not there, or
 * not ours, ends alone.
 * @param {TransportOptions} o
 * @param {Sink} sink
 * @param {(r: Reader) => Promise<void>} read
 * @returns {import('./connection.js').Transport}
 */
export function reading(o, sink, read) {
  const { clock, http } = o;
  /** @type {Map<string, { reader: Reader, abort: AbortController }>} */
  const readers = new Map();
  let up = false;
  let over = false;

  const begun = () => {
    if (up || over) return;
    up = true;
    sink.up('');
  };
  /** @param {string} c */
  const unsubscribe = (c) => {
    const r = readers.get(c);
    readers.delete(c);
    r?.abort.abort();
  };
  const close = () => {
    over = true;
    for (const c of [...readers.keys()]) unsubscribe(c);
  };
  /** @param {Omit<import('./connection.js').Down, 'opened'>} d */
  const fail = (d) => {
    if (over) return;
    const opened = up;
    close();
    sink.down({ ...d, opened });
  };
  /** @param {string} c @param {string} cur */
  const subscribe = (c, cur) => {
    unsubscribe(c);
    sink.attached(c);
    const abort = new AbortController();
    const { signal } = abort;
    /** @type {unknown} */
    let timer = null;
    /** @type {Reader} */
    const reader = {
      path: `/conversations/${encodeURIComponent(c)}`, cur, signal,
      // After so long without a sign of life the connection is dead.
      arm: (ms) => {
        clock.clearTimeout(timer);
        timer = clock.setTimeout(() => fail({ code: NO_HEARTBEAT, reason: 'no sign of life' }), ms);
      },
      take: (msgs) => {
        if (signal.aborted) return;
        begun();
        if (msgs.length > 0) sink.messages(c, msgs);
      },
      problem: (err) => sink.problem(c, err),
      again: () => subscribe(c, reader.cur),
      ended: () => {
        readers.delete(c);
        begun();
      },
      blocked: () => fail({ code: BROKEN, reason: 'no streams here', blocked: true }),
    };
    readers.set(c, { reader, abort });
    signal.addEventListener('abort', () => clock.clearTimeout(timer));
    read(reader).catch((err) => {
      if (signal.aborted) return;
      const status = err instanceof ClientError ? err.status : 0;
      if (status === 403 || status === 404) {
        reader.ended();
        reader.problem(err);
      } else if (status === 401) fail({ code: UNAUTHENTICATED, reason: 'not signed in' });
      else fail({ code: BROKEN, reason: `status ${status}`, retryMs: err?.retryMs });
    }).finally(() => clock.clearTimeout(timer));
  };

  const resume = o.resume();
  for (const r of resume) subscribe(r.c, r.cur ?? '');
  // Nothing to read yet: commands work, so the connection is there.
  if (resume.length === 0) queueMicrotask(begun);
  return {
    subscribe, unsubscribe, close,
    command: (cmd) => restCommand(http, cmd),
    // A page that slept cannot trust what it reads: read anew.
    probe: () => {
      for (const r of [...readers.values()]) r.reader.again();
    },
  };
}
