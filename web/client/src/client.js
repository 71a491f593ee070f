// The client: one connection, many conversations.
import { connection } from './connection.js';
import { talk } from './conversation.js';
import { requests } from './http.js';
import { lifecycleOf } from './lifecycle.js';

/** @typedef {import('../index.d.ts').ClientOptions} ClientOptions */
/** @typedef {import('../index.d.ts').ConnectionStatus} ConnectionStatus */

/** @type {import('../index.d.ts').Clock} */
const systemClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout: (id) => clearTimeout(/** @type {any} */ (id)),
};

/** See README.md for examples. */
export class Client {
  #conversation;
  #connection;
  /** @type {Set<(s: ConnectionStatus) => void>} */ #listeners = new Set();

  /** @param {ClientOptions} [o] */
  constructor(o = {}) {
    const clock = o.clock ?? systemClock;
    const baseURL = o.baseURL ?? globalThis.location?.origin;
    if (!baseURL) throw new TypeError('Client: baseURL is needed outside a browser');
    /** Requests to the API with the same authentication. */
    this.http = requests({ baseURL, clock, fetch: o.fetch ?? ((url, init) => fetch(url, init)), name: o.name ?? 'fluentpro-js/0.1.0', getToken: o.getToken, refresh: o.refresh });
    /** @type {Map<string, import('./conversation.js').Talk>} */
    const talks = new Map();
    const line = connection({
      http: this.http, clock, WebSocket: o.WebSocket ?? globalThis.WebSocket, random: o.random ?? Math.random,
      lifecycle: o.lifecycle ?? lifecycleOf(globalThis),
      transports: o.transports ?? (o.fetch || streams() ? ['websocket', 'sse', 'poll'] : ['websocket', 'poll']),
      cursors: () => [...talks].filter(([, t]) => t.open.active).map(([c, t]) => {
        t.attached();
        return { c, cur: t.open.cursor || undefined };
      }),
      onAttached: (c) => talks.get(c)?.attached(),
      onMessages: (c, msgs) => {
        const t = talks.get(c);
        if (t?.open.active) t.receive(msgs);
        else line.unsubscribe(c); // brought back by the session, no longer wanted
      },
      onProblem: (c, err) => talks.get(c)?.fail(err),
      onStatus: (s) => {
        if (s.state === 'online') for (const t of talks.values()) t.online();
        for (const l of [...this.#listeners]) l(s);
      },
    });
    this.#connection = line;
    const shared = { connection: line, clock, storage: o.storage ?? null, newId: o.newId ?? newId };
    this.#conversation = (/** @type {string} */ id) => {
      const t = talks.get(id) ?? talk(id, shared);
      talks.set(id, t);
      return t.open;
    };
  }

  /** The connection as it is now. */
  get status() {
    return this.#connection.status();
  }

  /** Begins to connect, and again after a sign-in. */
  connect() {
    this.#connection.connect();
  }

  /** Ends the connection; unsent messages stay in the storage. */
  close() {
    this.#connection.close();
  }

  /**
   * Listens for changes of the connection.
   * @param {(s: ConnectionStatus) => void} listener
   * @returns {() => void}
   */
  onStatus(listener) {
    this.#listeners.add(listener);
    listener(this.status);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The conversation (or the scenario request) with this id.
   * @param {string} id
   */
  conversation(id) {
    return this.#conversation(id);
  }
}

/**
 * Whether fetch gives a body piece by piece. React Native's does not: it would
 * keep the whole stream until its end.
 */
function streams() {
  return typeof Response === 'function' && 'body' in Response.prototype;
}

/**
 * A client id: unique, not secret. crypto.randomUUID needs a secure context,
 * which a page on a LAN address is not; React Native has no crypto at all.
 * @returns {string}
 */
export function newId() {
  const b = new Uint8Array(16).map(() => Math.random() * 256);
  globalThis.crypto?.getRandomValues?.(b);
  return Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
}
