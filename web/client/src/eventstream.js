// SSE read by fetch: one stream for each conversation, the same cursor.
import { CLOSE, DEADLINE_FACTOR, SSE_HEARTBEAT_MS } from './protocol.js';
import { ClientError, errorOf } from './fault.js';
import { SSEParser } from './sse.js';
import { restCommand } from './rest.js';

const FIRST_BYTE_MS = 10_000;
/** A stream that ended cleanly after this long did its work. */
const LIVED_MS = 1000;

/** @typedef {import('./connection.js').Sink} Sink */
/** @typedef {import('./connection.js').TransportOptions} TransportOptions */
/** @typedef {{ cur: string, abort: AbortController }} Stream */

/** Speaks docs/protocol.md, "SSE". */
export class EventStreamTransport {
  /**
   * @param {TransportOptions} o
   * @param {Sink} sink
   */
  constructor(o, sink) {
    /** @private */ this._o = o;
    /** @private */ this._sink = sink;
    /** @private */ this._up = false;
    /** @private */ this._over = false;
    /** @private @type {Map<string, Stream>} */ this._streams = new Map();
    const resume = o.resume();
    for (const r of resume) this.subscribe(r.c, r.cur ?? '');
    // Nothing to read yet: commands work, so the connection is there.
    if (resume.length === 0) queueMicrotask(() => this._begun());
  }

  /** @private */
  _begun() {
    if (this._up || this._over) return;
    this._up = true;
    this._sink.up('');
  }

  /**
   * @param {string} c
   * @param {string} cur
   */
  subscribe(c, cur) {
    this.unsubscribe(c);
    const stream = { cur, abort: new AbortController() };
    this._streams.set(c, stream);
    void this._read(c, stream);
  }

  /** @param {string} c */
  unsubscribe(c) {
    const s = this._streams.get(c);
    this._streams.delete(c);
    s?.abort.abort();
  }

  /**
   * @param {import('./connection.js').Command} cmd
   * @returns {Promise<any>}
   */
  command(cmd) {
    return restCommand(this._o.http, cmd);
  }

  /** A sleeping page cannot trust its streams: read them anew. */
  probe() {
    for (const [c, s] of [...this._streams]) this.subscribe(c, s.cur);
  }

  /** Ends it without a word to the sink. */
  close() {
    this._over = true;
    for (const c of [...this._streams.keys()]) this.unsubscribe(c);
  }

  /**
   * @private
   * @param {string} c
   * @param {Stream} stream
   */
  async _read(c, stream) {
    const { clock, http } = this._o;
    const { signal } = stream.abort;
    /** @type {unknown} */
    let timer = null;
    const arm = (/** @type {number} */ ms) => {
      clock.clearTimeout(timer);
      timer = clock.setTimeout(() => {
        if (signal.aborted) return;
        this._fail(CLOSE.heartbeat, 'no sign of life');
      }, ms);
    };
    const begun = clock.now();
    arm(FIRST_BYTE_MS);
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: 'text/event-stream, application/json' };
      if (stream.cur) headers['Last-Event-ID'] = stream.cur;
      const res = await http.raw(`/conversations/${encodeURIComponent(c)}/events`, { headers, signal });
      if (signal.aborted) return;
      if (res.status === 204) {
        this._streams.delete(c);
        this._begun();
        this._sink.messages(c, [{ type: 'caught_up', cur: stream.cur }]);
        return;
      }
      if (res.status === 401) return this._fail(CLOSE.unauthenticated, 'not signed in');
      if (res.status === 403 || res.status === 404) {
        this._streams.delete(c);
        this._begun();
        this._sink.problem(c, await errorOf(res));
        return;
      }
      if (!res.ok || !res.body) return this._fail(1006, `status ${res.status}`);
      const parser = new SSEParser();
      const reader = res.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (signal.aborted) return;
        if (done) break;
        arm(SSE_HEARTBEAT_MS * DEADLINE_FACTOR);
        const found = parser.push(value);
        this._begun();
        this._deliver(c, stream, found);
        if (signal.aborted) return;
        if (parser.lastEventId) stream.cur = parser.lastEventId;
      }
      if (clock.now() - begun < LIVED_MS) return this._fail(1006, 'stream ended at once');
      this.subscribe(c, stream.cur);
    } catch {
      if (!signal.aborted) this._fail(1006, 'stream broke');
    } finally {
      clock.clearTimeout(timer);
    }
  }

  /**
   * @private
   * @param {string} c
   * @param {Stream} stream
   * @param {import('../index.d.ts').SSEMessage[]} found
   */
  _deliver(c, stream, found) {
    /** @type {any[]} */
    const msgs = [];
    for (const m of found) {
      if (m.type !== 'message') continue; // a heartbeat
      try {
        const msg = JSON.parse(m.data);
        // A control message carries its cursor as the id of its block.
        if (msg.type === 'snapshot' && !msg.cur) msg.cur = m.id;
        if (msg.type === 'error') this._sink.problem(c, new ClientError(msg.code ?? 'internal', msg.message ?? '', { retryable: true }));
        else msgs.push(msg);
      } catch {
        // An unreadable event leaves a hole, and the hole leads to a resume.
      }
    }
    if (msgs.length > 0) this._sink.messages(c, msgs);
  }

  /**
   * @private
   * @param {number} code
   * @param {string} reason
   */
  _fail(code, reason) {
    if (this._over) return;
    const opened = this._up;
    this.close();
    this._sink.down({ code, reason, opened });
  }
}
