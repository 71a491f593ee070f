// Requests to the API: the token or the cookie, one refresh at a time, and
// errors with stable codes.
import { API } from './protocol.js';
import { connectionLost, errorOf } from './fault.js';

const PROBE_MS = 8000;

/** @typedef {import('../index.d.ts').FetchInit} FetchInit */
/** @typedef {ReturnType<typeof requests>} Http */

/**
 * Requests with authentication; shared by everything that speaks HTTP here.
 * @param {{ baseURL: string, fetch: import('../index.d.ts').FetchLike, clock: import('../index.d.ts').Clock, name: string,
 *   getToken?: import('../index.d.ts').ClientOptions['getToken'], refresh?: () => Promise<boolean> }} o
 */
export function requests(o) {
  const base = o.baseURL.replace(/\/+$/, '') + API;
  const { clock, name, getToken } = o;
  /** The token that was used last. */
  let used = '';
  /** @type {Promise<boolean> | null} */
  let refreshing = null;

  /** The token, or "" when the cookie speaks. */
  const token = async () => {
    used = (await getToken?.({ refresh: false })) ?? '';
    return used;
  };
  const renew = async () => {
    if (o.refresh) return o.refresh();
    // A token that was refused just now is no new one.
    const refused = used;
    const fresh = await getToken?.({ refresh: true });
    return !!fresh && fresh !== refused;
  };
  /**
   * Gets new tokens, one request however many ask. False means that the
   * learner has to sign in; a rejection means that nobody knows.
   * @returns {Promise<boolean>}
   */
  const refresh = () => {
    refreshing ??= renew().finally(() => {
      refreshing = null;
    });
    return refreshing;
  };
  /**
   * One request as it is, any status.
   * @param {string} path
   * @param {FetchInit} [init]
   */
  const raw = async (path, init = {}) => {
    const bearer = await token();
    const headers = { ...init.headers, 'X-Conv-Client': name, ...(bearer && { Authorization: `Bearer ${bearer}` }) };
    return o.fetch(base + path, { credentials: 'same-origin', cache: 'no-store', ...init, headers });
  };
  /** @param {string} path @param {FetchInit} init */
  const request = async (path, init) => {
    try {
      return await raw(path, init);
    } catch (err) {
      throw init.signal?.aborted ? err : connectionLost();
    }
  };
  /**
   * Something that is given up after so long.
   * @template T
   * @param {number} ms
   * @param {(signal: AbortSignal) => Promise<T>} f
   */
  const timed = (ms, f) => {
    const abort = new AbortController();
    const timer = clock.setTimeout(() => abort.abort(), ms);
    return f(abort.signal).finally(() => clock.clearTimeout(timer));
  };

  return {
    base, clock, name, token, refresh, raw,
    /**
     * JSON in, JSON out; a 401 is repeated once after a refresh.
     * @param {string} method
     * @param {string} path
     * @param {unknown} [body]
     * @param {{ signal?: AbortSignal, refresh?: boolean }} [how]
     * @returns {Promise<any>}
     */
    async json(method, path, body, how = {}) {
      /** @type {FetchInit} */
      const init = { method, headers: { Accept: 'application/json, application/problem+json' } };
      if (how.signal) init.signal = how.signal;
      if (body !== undefined) {
        init.body = JSON.stringify(body);
        init.headers = { ...init.headers, 'Content-Type': 'application/json' };
      }
      let res = await request(path, init);
      if (res.status === 401 && how.refresh !== false && (await refresh())) res = await request(path, init);
      if (!res.ok) throw await errorOf(res);
      if (res.status === 204) return null;
      return res.json().catch(() => {
        throw connectionLost(); // the answer was cut off
      });
    },
    /**
     * Says why something could not connect: browsers hide the status of a
     * refused WebSocket.
     * @returns {Promise<'reachable' | 'unauthorized' | 'unreachable'>}
     */
    probe: () => timed(PROBE_MS, (signal) => raw('/me', { signal })).then(
      ({ status }) => (status === 401 ? 'unauthorized' : status >= 500 ? 'unreachable' : 'reachable'),
      () => 'unreachable',
    ),
    timed,
  };
}
