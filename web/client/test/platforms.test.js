// What differs between browsers, workers, Node and React Native.
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, newId } from '../src/index.js';
import { lifecycleOf } from '../src/lifecycle.js';
import { json, settle } from './fakes.js';
import { setup, snapshot } from './world.js';

/** A fetch as React Native has it: no body to read piece by piece. */
function whole(status, body) {
  const res = json(status, body);
  return { ok: res.ok, status: res.status, headers: res.headers, json: () => res.json() };
}

test('fetch without streams: SSE is left at once, long-poll reads', async () => {
  const asked = [];
  const route = (method, path) => {
    asked.push(path);
    if (path.endsWith('/events')) return whole(200, {});
    if (path === '/conversations/c1') return whole(200, { cur: '1.aa.0', state: snapshot().state });
    return path.includes('/log') ? new Promise(() => {}) : whole(404, {});
  };
  const { client, clock } = setup({ route, transports: ['sse', 'poll'] });
  client.conversation('c1').subscribe(() => {});
  client.connect();
  await settle();
  await clock.advance(100);
  assert.equal(client.status.transport, 'poll');
  assert.deepEqual(asked.slice(0, 2), ['/conversations/c1/events', '/conversations/c1']);
  client.close();
});

test('where Response has no body SSE is not even tried', async () => {
  const { Response, fetch } = globalThis;
  const asked = [];
  try {
    globalThis.Response = class {};
    globalThis.fetch = async (url) => {
      asked.push(new URL(url).pathname);
      return new Promise(() => {});
    };
    const client = new Client({ baseURL: 'http://server.test', WebSocket: class { constructor() { throw new Error('blocked'); } } });
    client.conversation('c1').subscribe(() => {});
    client.connect();
    assert.equal(client.status.state, 'connecting');
    await settle();
    assert.deepEqual(asked, ['/api/v2/me']);
    client.close();
  } finally {
    Object.assign(globalThis, { Response, fetch });
  }
});

test('without WebSocket the ladder begins with SSE', async () => {
  const had = globalThis.WebSocket;
  const asked = [];
  try {
    globalThis.WebSocket = undefined;
    const client = new Client({ baseURL: 'http://server.test', fetch: async (url) => { asked.push(url); return new Promise(() => {}); } });
    client.conversation('c1').subscribe(() => {});
    client.connect();
    await settle();
    assert.deepEqual(asked, ['http://server.test/api/v2/conversations/c1/events']);
    client.close();
  } finally {
    globalThis.WebSocket = had;
  }
});

test('ids are unique, with crypto and without', () => {
  const had = Object.getOwnPropertyDescriptor(globalThis, 'crypto');
  try {
    for (const crypto of [globalThis.crypto, undefined]) {
      Object.defineProperty(globalThis, 'crypto', { value: crypto, configurable: true });
      const ids = new Set(Array.from({ length: 1000 }, newId));
      assert.equal(ids.size, 1000);
      for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
    }
  } finally {
    Object.defineProperty(globalThis, 'crypto', had);
  }
});

test('outside a browser an address is needed', () => {
  assert.throws(() => new Client(), TypeError);
});

test('hints of a page: online, pageshow, visible, resume wake; offline doubts; all are let go', () => {
  const page = new EventTarget();
  page.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  page.navigator = { onLine: false };
  const l = lifecycleOf(page);
  assert.equal(l.offline(), true);
  const heard = [];
  const off = l.listen((what) => heard.push(what));
  const all = () => {
    for (const name of ['online', 'pageshow', 'offline']) page.dispatchEvent(new Event(name));
    for (const name of ['visibilitychange', 'resume']) page.document.dispatchEvent(new Event(name));
  };
  all();
  assert.deepEqual(heard, ['wake', 'wake', 'offline', 'wake', 'wake']);
  page.document.visibilityState = 'hidden';
  page.document.dispatchEvent(new Event('visibilitychange'));
  assert.equal(heard.length, 5, 'hiding wakes nobody');
  off();
  all();
  assert.equal(heard.length, 5);
});

test('hints of a worker, and of nothing', () => {
  const worker = new EventTarget();
  const heard = [];
  lifecycleOf(worker).listen((what) => heard.push(what));
  worker.dispatchEvent(new Event('online'));
  assert.deepEqual(heard, ['wake']);
  const none = lifecycleOf({});
  assert.equal(none.offline(), false);
  none.listen(() => {})();
});
