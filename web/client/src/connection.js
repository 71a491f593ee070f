// The connection: which transport, when to try again, what state it is in.
import { CLOSE, STATES, closeAdvice } from './protocol.js';
import { Backoff, HEALTHY_MS } from './backoff.js';
import { connectionLost } from './fault.js';
import { WebSocketTransport } from './websocket.js';
import { EventStreamTransport } from './eventstream.js';
import { LongPollTransport } from './longpoll.js';

/** @typedef {import('../index.d.ts').ConnectionStatus} ConnectionStatus */
/** @typedef {import('../index.d.ts').TransportName} TransportName */
/** @typedef {{ op: 'send' | 'cancel', c: string, key?: string, args: Record<string, any> }} Command */
/**
 * What a transport tells.
 * @typedef {{
 *   up: (session: string) => void,
 *   messages: (c: string, msgs: any[]) => void,
 *   problem: (c: string, err: import('./fault.js').ClientError) => void,
 *   down: (d: { code: number, reason: string, opened: boolean }) => void,
 * }} Sink
 */
/**
 * What a transport may use.
 * @typedef {{
 *   http: import('./http.js').Http,
 *   clock: import('../index.d.ts').Clock,
 *   WebSocket: typeof WebSocket,
 *   session: () => string,
 *   resume: () => { c: string, cur?: string }[],
 * }} TransportOptions
 */
/**
 * @typedef {{
 *   subscribe: (c: string, cur: string) => void, unsubscribe: (c: string) => void,
 *   command: (cmd: Command) => Promise<any>, probe: () => void, close: () => void,
 * }} Transport
 */

const LADDER = /** @type {const} */ ({
  websocket: WebSocketTransport,
  sse: EventStreamTransport,
  poll: LongPollTransport,
});

/** So many refusals by a reachable server mean that the way is blocked. */
const BLOCKED_AFTER = 2;
/** After this long a better transport gets another chance. */
const UPGRADE_MS = 300_000;

/** Keeps one connection alive, whatever the network does. */
export class Connection {
  /**
   * @param {{
   *   http: import('./http.js').Http, clock: import('../index.d.ts').Clock, WebSocket: typeof WebSocket | undefined,
   *   random: () => number, lifecycle: import('../index.d.ts').Lifecycle, transports: TransportName[],
   *   cursors: () => { c: string, cur?: string }[],
   *   onMessages: (c: string, msgs: any[]) => void,
   *   onProblem: (c: string, err: import('./fault.js').ClientError) => void,
   *   onStatus: (s: ConnectionStatus) => void,
   * }} o
   */
  constructor(o) {
    /** @private */ this._o = o;
    /** @private */ this._ladder = o.transports.filter((t) => t !== 'websocket' || o.WebSocket);
    /** @private */ this._rung = 0;
    /** @private */ this._refused = 0;
    /** @private */ this._lastTop = 0;
    /** @private */ this._wanted = false;
    /** @private */ this._ever = false;
    /** @private */ this._session = '';
    /** @private */ this._backoff = new Backoff(o.random);
    /** @private @type {Transport | null} */ this._transport = null;
    /** @private @type {unknown} */ this._retry = null;
    /** @private @type {unknown} */ this._health = null;
    /** @private @type {(() => void) | null} */ this._unlisten = null;
    /** @type {ConnectionStatus} */
    this.status = { state: 'connecting', number: STATES.connecting, code: 0, reason: '', transport: '', since: o.clock.now() };
  }

  /** Begins, or begins again after a sign-in. */
  connect() {
    if (this._wanted) return;
    this._wanted = true;
    this._unlisten = this._o.lifecycle.listen((what) => this._signal(what));
    this._backoff.reset();
    this._attempt();
  }

  /** Ends it for good; connect begins anew. */
  close() {
    this._halt();
    this._set('offline', CLOSE.normal, 'closed');
  }

  /** @param {Command} cmd @returns {Promise<any>} */
  command(cmd) {
    return this._transport && this.status.state === 'online' ? this._transport.command(cmd) : Promise.reject(connectionLost());
  }

  /** @param {string} c @param {string} cur */
  subscribe(c, cur) {
    this._transport?.subscribe(c, cur);
  }

  /** @param {string} c */
  unsubscribe(c) {
    this._transport?.unsubscribe(c);
  }

  /** @private */
  _halt() {
    this._wanted = false;
    this._unlisten?.();
    this._unlisten = null;
    this._o.clock.clearTimeout(this._retry);
    this._o.clock.clearTimeout(this._health);
    this._retry = null;
    this._transport?.close();
    this._transport = null;
  }

  /** @private */
  _attempt() {
    this._retry = null;
    if (!this._wanted || this._transport) return;
    const { clock } = this._o;
    if (this._rung > 0 && clock.now() - this._lastTop > UPGRADE_MS) {
      this._rung = 0;
      this._refused = 0;
    }
    if (this._rung === 0) this._lastTop = clock.now();
    if (this.status.state !== 'offline' || !this._o.lifecycle.offline()) {
      this._set(this._ever ? 'reconnecting' : 'connecting', this.status.code, this.status.reason);
    }
    const name = this._ladder[this._rung];
    /** @type {Transport | null} */
    let mine = null;
    const current = () => mine !== null && this._transport === mine;
    const T = LADDER[name];
    mine = new T(
      {
        http: this._o.http, clock, WebSocket: /** @type {typeof WebSocket} */ (this._o.WebSocket),
        session: () => this._session, resume: this._o.cursors,
      },
      {
        up: (session) => current() && this._up(name, session),
        messages: (c, msgs) => current() && this._o.onMessages(c, msgs),
        problem: (c, err) => current() && this._o.onProblem(c, err),
        down: (d) => {
          if (!current()) return;
          this._transport = null;
          void this._down(d);
        },
      },
    );
    this._transport = mine;
  }

  /**
   * @private
   * @param {TransportName} name
   * @param {string} session
   */
  _up(name, session) {
    if (session) this._session = session;
    this._ever = true;
    this._refused = 0;
    this._o.clock.clearTimeout(this._health);
    this._health = this._o.clock.setTimeout(() => this._backoff.reset(), HEALTHY_MS);
    this._set('online', 0, '', name);
  }

  /**
   * @private
   * @param {{ code: number, reason: string, opened: boolean }} d
   */
  async _down(d) {
    this._o.clock.clearTimeout(this._health);
    const advice = closeAdvice(d.code);
    if (advice === 'stop') {
      this._halt();
      this._set(d.code === CLOSE.version ? 'outdated' : 'offline', d.code, d.reason);
      return;
    }
    this._set(this._o.lifecycle.offline() ? 'offline' : this._ever ? 'reconnecting' : 'connecting', d.code, d.reason);
    let unauthorized = advice === 'token';
    if (!d.opened && !unauthorized) {
      const found = await this._o.http.probe();
      unauthorized = found === 'unauthorized';
      if (found === 'reachable' && ++this._refused >= BLOCKED_AFTER) {
        this._refused = 0;
        this._rung = (this._rung + 1) % this._ladder.length;
      }
    }
    if (unauthorized && this._wanted) {
      let fresh = true;
      try {
        fresh = await this._o.http.refresh();
      } catch {
        // Nobody knows; try again later with what we have.
      }
      if (!fresh && this._wanted) {
        this._halt();
        this._set('signed_out', d.code, d.reason);
        return;
      }
    }
    if (!this._wanted || this._transport || this._retry !== null) return;
    this._retry = this._o.clock.setTimeout(() => this._attempt(), this._backoff.next());
  }

  /**
   * @private
   * @param {'wake' | 'offline'} what
   */
  _signal(what) {
    if (what === 'offline' || this.status.state === 'online') {
      // The device may be wrong about its network: ask the server.
      this._transport?.probe();
      return;
    }
    if (this._retry === null) return;
    this._o.clock.clearTimeout(this._retry);
    this._backoff.reset();
    this._attempt();
  }

  /**
   * @private
   * @param {ConnectionStatus['state']} state
   * @param {number} code
   * @param {string} reason
   * @param {TransportName | ''} [transport]
   */
  _set(state, code, reason, transport = '') {
    const was = this.status;
    const since = was.state === state ? was.since : this._o.clock.now();
    this.status = { state, number: STATES[state], code, reason, transport, since };
    if (was.state !== state || was.transport !== transport) this._o.onStatus(this.status);
  }
}
