// The WebSocket transport: one socket, many conversations.
import { API, CLOSE, DEADLINE_FACTOR, HEARTBEAT_MS, SUBPROTOCOL } from './protocol.js';
import { ClientError, connectionLost } from './fault.js';

const OPEN_MS = 10_000;
const PROBE_MS = 5000;
const COMMAND_MS = 10_000;
const ACK_MS = 5000;
const ACK_EVENTS = 200;

/** @typedef {import('./connection.js').Sink} Sink */
/** @typedef {import('./connection.js').TransportOptions} TransportOptions */

/** Speaks docs/protocol.md, "WebSocket". */
export class WebSocketTransport {
  /**
   * @param {TransportOptions} o
   * @param {Sink} sink
   */
  constructor(o, sink) {
    /** @private */ this._o = o;
    /** @private */ this._sink = sink;
    /** @private */ this._clock = o.clock;
    /** @private */ this._welcomed = false;
    /** @private */ this._greeted = false;
    /** Subscribed between hello and welcome. @private @type {Map<string, string>} */
    this._late = new Map();
    /** @private */ this._over = false;
    /** @private */ this._hb = HEARTBEAT_MS;
    /** @private */ this._n = 0;
    /** @private @type {Map<string, { resolve: (v: any) => void, reject: (e: any) => void, timer: unknown }>} */
    this._commands = new Map();
    /** @private @type {Map<string, { cur: string, count: number }>} */
    this._unacked = new Map();
    /** @private @type {unknown} */ this._deadline = null;
    /** @private @type {unknown} */ this._ackTimer = null;
    /** @private @type {unknown} */ this._away = null;
    /** @private @type {WebSocket | null} */ this._ws = null;
    this._arm(OPEN_MS, CLOSE.hello, 'no welcome in time');
    this._open();
  }

  /** @private */
  _open() {
    let ws;
    try {
      const url = this._o.http.base.replace(/^http/, 'ws') + '/ws';
      ws = new this._o.WebSocket(url, SUBPROTOCOL);
    } catch (err) {
      queueMicrotask(() => this._end(1006, err instanceof Error ? err.message : 'cannot open'));
      return;
    }
    this._ws = ws;
    ws.onopen = async () => {
      let token = '';
      try {
        token = await this._o.http.token();
      } catch {
        this._end(1006, 'no token');
        return;
      }
      /** @type {Record<string, unknown>} */
      const hello = { t: 'hello', client: this._o.http.name, resume: this._o.resume() };
      if (this._o.session()) hello.session = this._o.session();
      if (token) hello.token = token;
      this._greeted = true;
      this._send(hello);
    };
    ws.onmessage = (/** @type {{ data: unknown }} */ m) => this._frame(m.data);
    ws.onclose = (/** @type {{ code: number, reason: string }} */ e) => this._end(e.code || 1006, e.reason || '');
    ws.onerror = () => {};
  }

  /**
   * @private
   * @param {unknown} data
   */
  _frame(data) {
    if (this._over || typeof data !== 'string') return;
    /** @type {any} */
    let f;
    try {
      f = JSON.parse(data);
    } catch {
      return; // Not ours to judge; the deadline decides about the connection.
    }
    this._arm(this._welcomed ? this._hb * DEADLINE_FACTOR : OPEN_MS, CLOSE.heartbeat, 'no sign of life');
    switch (f?.t) {
      case 'welcome':
        this._welcomed = true;
        this._hb = f.hb?.interval_ms > 0 ? f.hb.interval_ms : HEARTBEAT_MS;
        this._arm(this._hb * DEADLINE_FACTOR, CLOSE.heartbeat, 'no sign of life');
        for (const [c, cur] of this._late) this.subscribe(c, cur);
        this._late.clear();
        this._sink.up(f.session ?? '');
        break;
      case 'ev':
        if (Array.isArray(f.e)) this._events(f.c, f.e);
        break;
      case 'reset':
        this._sink.messages(f.c, [{ type: 'reset', reason: f.reason, cur: f.cur }]);
        break;
      case 'snapshot':
        this._sink.messages(f.c, [{ type: 'snapshot', cur: f.cur, state: f.state }]);
        break;
      case 'caught_up':
        this._sink.messages(f.c, [{ type: 'caught_up', cur: f.cur }]);
        break;
      case 'res':
        this._result(String(f.id), f.ok === true, f.data, f.err);
        break;
      case 'err':
        if (f.id && this._commands.has(String(f.id))) this._result(String(f.id), false, null, f);
        else if (f.c) this._sink.problem(f.c, toError(f));
        break;
      case 'ping':
        this._send({ t: 'pong', n: f.n });
        break;
      case 'goaway':
        this._away ??= this._clock.setTimeout(() => this._end(1012, 'goaway'), Math.max(0, f.after_ms ?? 0));
        break;
    }
  }

  /**
   * @private
   * @param {string} c
   * @param {any[]} events
   */
  _events(c, events) {
    this._sink.messages(c, events);
    const cur = events.at(-1)?.cur;
    if (!cur) return;
    const u = this._unacked.get(c) ?? { cur, count: 0 };
    u.cur = cur;
    u.count += events.length;
    this._unacked.set(c, u);
    if (u.count >= ACK_EVENTS) this._ack();
    else this._ackTimer ??= this._clock.setTimeout(() => this._ack(), ACK_MS);
  }

  /** @private */
  _ack() {
    this._clock.clearTimeout(this._ackTimer);
    this._ackTimer = null;
    for (const [c, u] of this._unacked) this._send({ t: 'ack', c, cur: u.cur });
    this._unacked.clear();
  }

  /**
   * @private
   * @param {string} id
   * @param {boolean} ok
   * @param {any} data
   * @param {any} err
   */
  _result(id, ok, data, err) {
    const cmd = this._commands.get(id);
    if (!cmd) return;
    this._commands.delete(id);
    this._clock.clearTimeout(cmd.timer);
    if (ok) cmd.resolve(data ?? {});
    else cmd.reject(toError(err));
  }

  /**
   * @param {string} c
   * @param {string} cur
   */
  subscribe(c, cur) {
    if (!this._welcomed) {
      if (this._greeted) this._late.set(c, cur);
      return; // before hello: hello itself asks for the list
    }
    /** @type {Record<string, unknown>} */
    const f = { t: 'sub', id: `s${++this._n}`, c };
    if (cur) f.cur = cur;
    this._send(f);
  }

  /** @param {string} c */
  unsubscribe(c) {
    this._unacked.delete(c);
    this._late.delete(c);
    if (this._welcomed) this._send({ t: 'unsub', c });
  }

  /**
   * @param {import('./connection.js').Command} cmd
   * @returns {Promise<any>}
   */
  command(cmd) {
    if (!this._welcomed || this._over) return Promise.reject(connectionLost());
    const id = `c${++this._n}`;
    return new Promise((resolve, reject) => {
      // Silence after a command says nothing about what became of it; its
      // sender repeats it with the same key.
      const timer = this._clock.setTimeout(() => this._result(id, false, null, { code: 'connection_lost', retryable: true }), COMMAND_MS);
      this._commands.set(id, { resolve, reject, timer });
      /** @type {Record<string, unknown>} */
      const f = { t: 'cmd', id, op: cmd.op, c: cmd.c, args: cmd.args };
      if (cmd.key) f.key = cmd.key;
      this._send(f);
    });
  }

  /** Asks for a sign of life, after a sleep or a change of network. */
  probe() {
    if (!this._welcomed || this._over) return;
    this._arm(PROBE_MS, CLOSE.heartbeat, 'no sign of life');
    this._send({ t: 'ping', n: ++this._n });
  }

  /** Ends it without a word to the sink. */
  close() {
    this._stop();
  }

  /**
   * @private
   * @param {unknown} frame
   */
  _send(frame) {
    if (this._over || !this._ws || this._ws.readyState !== 1) return;
    this._ws.send(JSON.stringify(frame));
  }

  /**
   * @private
   * @param {number} ms
   * @param {number} code
   * @param {string} why
   */
  _arm(ms, code, why) {
    this._clock.clearTimeout(this._deadline);
    this._deadline = this._clock.setTimeout(() => this._end(code, why), ms);
  }

  /**
   * @private
   * @param {number} code
   * @param {string} reason
   */
  _end(code, reason) {
    if (this._over) return;
    const opened = this._welcomed;
    this._stop();
    this._sink.down({ code, reason, opened });
  }

  /** @private */
  _stop() {
    if (this._over) return;
    this._over = true;
    for (const t of [this._deadline, this._ackTimer, this._away]) this._clock.clearTimeout(t);
    const ws = this._ws;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = ws.onerror = null;
      try {
        ws.close(1000);
      } catch {
        // Already closed.
      }
    }
    const lost = [...this._commands.values()];
    this._commands.clear();
    for (const c of lost) {
      this._clock.clearTimeout(c.timer);
      c.reject(connectionLost());
    }
  }
}

/**
 * @param {any} err
 * @returns {ClientError}
 */
function toError(err) {
  return new ClientError(err?.code ?? 'internal', err?.message ?? '', {
    retryable: err?.retryable === true, retryMs: err?.retry_ms ?? 0, fields: err?.fields ?? [],
  });
}
