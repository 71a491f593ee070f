import test from 'node:test';
import assert from 'node:assert/strict';
import { json, settle } from './fakes.js';
import { setup } from './world.js';

/** A source of tokens that writes down how it was asked. */
function tokens(...list) {
  const asked = [];
  let now = list.shift();
  const getToken = async ({ refresh }) => {
    asked.push(refresh);
    if (refresh) now = list.shift();
    return now ?? null;
  };
  return { asked, getToken };
}

test('getToken: a refused token is asked for anew, once, and the request repeated', async () => {
  const { asked, getToken } = tokens('old', 'new');
  const route = (m, path, init) => (new Headers(init.headers).get('authorization') === 'Bearer new' ? json(200, { ok: true }) : json(401, { code: 'token_expired' }));
  const { client } = setup({ route, getToken });
  assert.deepEqual(await Promise.all([client.http.json('GET', '/a'), client.http.json('GET', '/b')]), [{ ok: true }, { ok: true }]);
  assert.equal(asked.filter(Boolean).length, 1);
});

test('getToken: none left signs out, over WebSocket too', async () => {
  const { getToken } = tokens('old');
  const { sockets, client } = setup({ getToken });
  client.connect();
  await sockets.last().open();
  assert.equal(sockets.last().sent[0].token, 'old');
  await sockets.last().drop(4401);
  assert.equal(client.status.state, 'signed_out');
});

test('getToken: the same token again is no answer to a refusal', async () => {
  const { sockets, client, clock } = setup({ getToken: () => 'fixed' });
  client.connect();
  await sockets.last().open();
  await sockets.last().drop(4401);
  assert.equal(client.status.state, 'signed_out');
  await clock.advance(60_000);
  assert.equal(sockets.all.length, 1);
});

test('getToken that fails is trouble, not the end', async () => {
  let fails = true;
  const { sockets, client, clock } = setup({ getToken: async () => { if (fails) throw new Error('no network'); return 't'; } });
  client.connect();
  await sockets.last().open();
  assert.equal(client.status.state, 'connecting');
  fails = false;
  await clock.advance(1000);
  await sockets.last().welcome();
  assert.equal(client.status.state, 'online');
});

test('a server that asks for patience gets it', async () => {
  let asked = 0;
  const route = (m, path) => {
    if (path === '/me') return json(200, {});
    asked++;
    return json(503, { code: 'overloaded', retryable: true }, { 'Retry-After': '7' });
  };
  const { client, clock } = setup({ route, transports: ['sse'], random: 0 });
  client.conversation('c1').subscribe(() => {});
  client.connect();
  await settle();
  await clock.advance(6900);
  assert.equal(asked, 1);
  await clock.advance(200);
  assert.equal(asked, 2);
  client.close();
});

test('a frame that is no JSON, or of a type nobody knows, changes nothing', async () => {
  const { sockets, client } = setup();
  client.connect();
  const s = sockets.last();
  await s.welcome();
  s.onmessage({ data: 'no json' });
  s.onmessage({ data: new Uint8Array(3) });
  await s.say(null);
  await s.say({ t: 'news' });
  assert.equal(client.status.state, 'online');
  client.close();
});
