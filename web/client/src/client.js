// The client: one connection, many conversations.
import { Connection } from './connection.js';
import { Conversation } from './conversation.js';
import { Http } from './http.js';
import { lifecycleOf } from './lifecycle.js';

/** @typedef {import('../index.d.ts').ClientOptions} ClientOptions */
/** @typedef {import('../index.d.ts').ConnectionStatus} ConnectionStatus */

/** @type {import('../index.d.ts').Clock} */
const systemClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => globalThis.setTimeout(fn, ms),
  clearTimeout: (id) => globalThis.clearTimeout(/** @type {any} */ (id)),
};

/** See README.md for examples. */
export class Client {
  /** @param {ClientOptions} [o] */
  constructor(o = {}) {
    const clock = o.clock ?? systemClock;
    const base = o.baseURL ?? globalThis.location?.origin;
    if (!base) throw new TypeError('Client: baseURL is needed outside a browser');
    /** Requests to the API with the same authentication. */
    this.http = new Http({
      baseURL: base, clock, name: o.name ?? '@fluentpro/client/0.1.0',
      fetch: o.fetch ?? ((input, init) => globalThis.fetch(input, init)), token: o.token, refresh: o.refresh,
    });
    /** @private */ this._clock = clock;
    /** @private */ this._storage = o.storage ?? null;
    /** @private */ this._newId = o.newId ?? (() => newId());
    /** @private @type {Map<string, Conversation>} */ this._conversations = new Map();
    /** @private @type {Set<(s: ConnectionStatus) => void>} */ this._listeners = new Set();
    /** @private */ this._connection = new Connection({
      http: this.http, clock, WebSocket: o.WebSocket ?? globalThis.WebSocket, random: o.random ?? Math.random,
      lifecycle: o.lifecycle ?? lifecycleOf(globalThis), transports: o.transports ?? ['websocket', 'sse', 'poll'],
      cursors: () => this._cursors(),
      onMessages: (c, msgs) => {
        const conv = this._conversations.get(c);
        if (conv?.active) conv._receive(msgs);
        else this._connection.unsubscribe(c); // brought back by the session, no longer wanted
      },
      onProblem: (c, err) => this._conversations.get(c)?._fail(err),
      onStatus: (s) => {
        if (s.state === 'online') for (const c of this._conversations.values()) c._online();
        for (const l of [...this._listeners]) l(s);
      },
    });
  }

  /** The connection as it is now. */
  get status() {
    return this._connection.status;
  }

  /** Begins to connect, and again after a sign-in. */
  connect() {
    this._connection.connect();
  }

  /** Ends the connection; unsent messages stay in the storage. */
  close() {
    this._connection.close();
  }

  /**
   * Listens for changes of the connection.
   * @param {(s: ConnectionStatus) => void} listener
   * @returns {() => void}
   */
  onStatus(listener) {
    this._listeners.add(listener);
    listener(this.status);
    return () => this._listeners.delete(listener);
  }

  /**
   * The conversation (or the scenario request) with this id.
   * @param {string} id
   * @returns {Conversation}
   */
  conversation(id) {
    let c = this._conversations.get(id);
    if (!c) {
      c = new Conversation(id, { connection: this._connection, clock: this._clock, storage: this._storage, newId: this._newId });
      this._conversations.set(id, c);
    }
    return c;
  }

  /** @private */
  _cursors() {
    /** @type {{ c: string, cur?: string }[]} */
    const out = [];
    for (const c of this._conversations.values()) {
      if (c.active) out.push(c.cursor ? { c: c.id, cur: c.cursor } : { c: c.id });
    }
    return out;
  }
}

/**
 * A client id. crypto.randomUUID needs a secure context, which a page on a
 * LAN address is not; getRandomValues works everywhere.
 * @returns {string}
 */
export function newId() {
  const b = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
}
