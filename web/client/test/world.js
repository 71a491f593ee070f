// A client in a world that a test scripts.
import { Client } from '../src/index.js';
import { FakeClock, fakeFetch, fakeLifecycle, fakeSockets, json } from './fakes.js';

/** A client whose world is all scripted. */
export function setup(o = {}) {
  const clock = new FakeClock();
  const sockets = fakeSockets();
  const lifecycle = fakeLifecycle();
  const route = o.route ?? ((m, path) => (path === '/me' ? undefined : json(404, { code: 'not_found' })));
  const http = fakeFetch((...a) => route(...a));
  let ids = 0;
  const states = [];
  const client = new Client({
    baseURL: 'http://server.test', clock, WebSocket: sockets.WebSocket, fetch: http.fetch, lifecycle,
    random: () => o.random ?? 1, newId: () => `id-${++ids}`, storage: o.storage, getToken: o.getToken, refresh: o.refresh, transports: o.transports,
  });
  client.onStatus((s) => states.push(s.state));
  return { clock, sockets, lifecycle, http, client, states };
}

export const snapshot = (over = {}) => ({ t: 'snapshot', c: 'c1', cur: '1.aa.0', state: { conversation: { id: 'c1', kind: 'chat', title: 'T', state: 'active', created_at: 1 }, turns: [], open: null, ...over } });
export const ev = (...e) => ({ t: 'ev', c: 'c1', e });
