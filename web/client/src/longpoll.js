// Plain requests for the log: the transport that every proxy lets through.
import { CLOSE } from './protocol.js';
import { ClientError } from './fault.js';
import { restCommand } from './rest.js';

const WAIT_S = 25;
const LIMIT = 500;

/** @typedef {import('./connection.js').Sink} Sink */
/** @typedef {import('./connection.js').TransportOptions} TransportOptions */
/** @typedef {{ cur: string, abort: AbortController }} Loop */

/** Speaks docs/protocol.md, "JSON log". */
export class LongPollTransport {
  /**
   * @param {TransportOptions} o
   * @param {Sink} sink
   */
  constructor(o, sink) {
    /** @private */ this._o = o;
    /** @private */ this._sink = sink;
    /** @private */ this._up = false;
    /** @private */ this._over = false;
    /** @private @type {Map<string, Loop>} */ this._loops = new Map();
    const resume = o.resume();
    for (const r of resume) this.subscribe(r.c, r.cur ?? '');
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
    const loop = { cur, abort: new AbortController() };
    this._loops.set(c, loop);
    void this._run(c, loop);
  }

  /** @param {string} c */
  unsubscribe(c) {
    const l = this._loops.get(c);
    this._loops.delete(c);
    l?.abort.abort();
  }

  /**
   * @param {import('./connection.js').Command} cmd
   * @returns {Promise<any>}
   */
  command(cmd) {
    return restCommand(this._o.http, cmd);
  }

  probe() {
    for (const [c, l] of [...this._loops]) this.subscribe(c, l.cur);
  }

  /** Ends it without a word to the sink. */
  close() {
    this._over = true;
    for (const c of [...this._loops.keys()]) this.unsubscribe(c);
  }

  /**
   * @private
   * @param {string} c
   * @param {Loop} loop
   */
  async _run(c, loop) {
    const { clock, http } = this._o;
    const { signal } = loop.abort;
    const path = `/conversations/${encodeURIComponent(c)}`;
    let wait = 0; // The first answer comes at once, so that "online" does too.
    while (!signal.aborted) {
      const limit = clock.setTimeout(() => this._fail(CLOSE.heartbeat, 'no answer'), (wait + 15) * 1000);
      try {
        if (!loop.cur) {
          const snap = await this._snapshot(c, signal);
          if (signal.aborted) return;
          loop.cur = snap.cur;
          this._begun();
          this._sink.messages(c, [{ type: 'snapshot', cur: snap.cur, state: snap.state }]);
          if (!loop.cur) return this._fail(1006, 'no cursor');
          continue;
        }
        const q = `?after=${encodeURIComponent(loop.cur)}&limit=${LIMIT}&wait=${wait}`;
        const page = await http.json('GET', `${path}/log${q}`, undefined, { signal });
        if (signal.aborted) return;
        this._begun();
        if (page.cur) loop.cur = page.cur;
        const msgs = page.events ?? [];
        if (!page.more) msgs.push({ type: 'caught_up', cur: loop.cur });
        this._sink.messages(c, msgs);
        wait = page.more ? 0 : WAIT_S;
      } catch (err) {
        if (signal.aborted) return;
        if (err instanceof ClientError && err.code === 'cursor_gone') {
          loop.cur = '';
          this._sink.messages(c, [{ type: 'reset', reason: 'bad_cursor' }]);
          continue;
        }
        if (err instanceof ClientError && (err.status === 403 || err.status === 404)) {
          this._loops.delete(c);
          this._begun();
          this._sink.problem(c, err);
          return;
        }
        const status = err instanceof ClientError ? err.status : 0;
        return this._fail(status === 401 ? CLOSE.unauthenticated : 1006, `status ${status}`);
      } finally {
        clock.clearTimeout(limit);
      }
    }
  }

  /**
   * The state, under whichever of its two names the id has one: the log is
   * the same for both kinds, the resource is not.
   * @private
   * @param {string} c
   * @param {AbortSignal} signal
   * @returns {Promise<any>}
   */
  async _snapshot(c, signal) {
    const { http } = this._o;
    const id = encodeURIComponent(c);
    try {
      return await http.json('GET', `/conversations/${id}`, undefined, { signal });
    } catch (err) {
      if (!(err instanceof ClientError) || err.status !== 404) throw err;
      return http.json('GET', `/scenario-requests/${id}`, undefined, { signal });
    }
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
