// Requests to the API: the token or the cookie, one refresh at a time, and
// errors with stable codes.
import { API } from './protocol.js';
import { ClientError, errorOf } from './fault.js';

const PROBE_MS = 8000;

/** @typedef {import('../index.d.ts').Clock} Clock */

/** Requests with authentication; shared by everything that speaks HTTP here. */
export class Http {
  /**
   * @param {{ baseURL: string, fetch: typeof fetch, clock: Clock, name: string,
   *   token?: () => string | Promise<string>, refresh?: () => Promise<boolean> }} o
   */
  constructor(o) {
    this.base = o.baseURL.replace(/\/+$/, '') + API;
    this.fetch = o.fetch;
    this.clock = o.clock;
    this.name = o.name;
    this.tokenOf = o.token;
    /** @private */ this._refresh = o.refresh;
    /** @private @type {Promise<boolean> | null} */ this._refreshing = null;
  }

  /** The token, or "" when the cookie speaks. */
  async token() {
    return this.tokenOf ? await this.tokenOf() : '';
  }

  /**
   * Gets new tokens, one request however many ask. False means that the
   * learner has to sign in; a rejection means that nobody knows.
   * @returns {Promise<boolean>}
   */
  refresh() {
    const again = this._refresh;
    if (!again) return Promise.resolve(false);
    this._refreshing ??= (async () => again())().finally(() => {
      this._refreshing = null;
    });
    return this._refreshing;
  }

  /**
   * One request as it is, any status.
   * @param {string} path
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   */
  async raw(path, init = {}) {
    const headers = new Headers(init.headers);
    headers.set('X-Conv-Client', this.name);
    const token = await this.token();
    if (token) headers.set('Authorization', `Bearer ${token}`);
    return this.fetch(this.base + path, { credentials: 'same-origin', cache: 'no-store', ...init, headers });
  }

  /**
   * JSON in, JSON out; a 401 is repeated once after a refresh.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {{ signal?: AbortSignal, refresh?: boolean }} [o]
   * @returns {Promise<any>}
   */
  async json(method, path, body, o = {}) {
    /** @type {RequestInit} */
    const init = { method, headers: { Accept: 'application/json, application/problem+json' }, signal: o.signal ?? null };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
      init.headers = { ...init.headers, 'Content-Type': 'application/json' };
    }
    let res = await this.request(path, init);
    if (res.status === 401 && o.refresh !== false && (await this.refresh())) {
      res = await this.request(path, init);
    }
    if (!res.ok) throw await errorOf(res);
    if (res.status === 204) return null;
    try {
      return await res.json();
    } catch {
      throw new ClientError('connection_lost', 'The answer was cut off.', { retryable: true });
    }
  }

  /**
   * @private
   * @param {string} path
   * @param {RequestInit} init
   */
  async request(path, init) {
    try {
      return await this.raw(path, init);
    } catch (err) {
      if (init.signal?.aborted) throw err;
      throw new ClientError('connection_lost', 'The server cannot be reached.', { retryable: true });
    }
  }

  /**
   * Says why something could not connect: browsers hide the status of a
   * refused WebSocket.
   * @returns {Promise<'reachable' | 'unauthorized' | 'unreachable'>}
   */
  async probe() {
    const abort = new AbortController();
    const timer = this.clock.setTimeout(() => abort.abort(), PROBE_MS);
    try {
      const res = await this.raw('/me', { signal: abort.signal });
      if (res.status === 401) return 'unauthorized';
      return res.status >= 500 ? 'unreachable' : 'reachable';
    } catch {
      return 'unreachable';
    } finally {
      this.clock.clearTimeout(timer);
    }
  }
}
