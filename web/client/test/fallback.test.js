import test from 'node:test';
import assert from 'node:assert/strict';
import { json, log, settle, stream } from './fakes.js';
import { ev, setup, snapshot } from './world.js';

test('WebSocket blocked: SSE takes over in mid-answer with the same cursor, and long-poll after it', async () => {
  const l = log();
  const started = l.run('partner.started', { message_id: 'm' });
  const one = l.run('partner.delta', { at: 0, text: 'one ' });
  const two = l.run('partner.delta', { at: 4, text: 'two ' });
  const three = l.run('partner.delta', { at: 8, text: 'three' });
  const streams = [];
  let sseWorks = true;
  let sent = 0;
  const pages = [];
  const route = (method, path, init) => {
    if (path === '/me') return json(200, {});
    if (path === '/conversations/c1/events') {
      if (!sseWorks) return json(502, { code: 'upstream' });
      const s = stream(init.signal);
      streams.push(s);
      return s.response;
    }
    if (path.startsWith('/conversations/c1/log')) return new Promise((resolve) => { pages.push({ path, resolve }); });
    if (path === '/conversations/c1/messages') return json(202, { message_id: 'x', turn: 2, run: 2, position: 0, duplicate: sent++ > 0 });
    return json(404, { code: 'not_found' });
  };
  const { sockets, client, clock, http } = setup({ route });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await sockets.last().welcome();
  await sockets.last().say(snapshot());
  await sockets.last().say(ev(started, one));
  await sockets.last().drop();
  for (let i = 0; i < 2; i++) {
    await clock.advance(10_000);
    if (sockets.last().readyState === 0) await sockets.last().drop();
  }
  await clock.advance(1000);
  assert.equal(streams.length, 1);
  const call = http.calls.find((x) => x.path === '/conversations/c1/events');
  assert.equal(call.headers.get('last-event-id'), '1.aa.2');
  assert.equal(call.headers.get('x-conv-client') !== null, true);
  await streams[0].write('retry: 1000\n: hi\n\nid: 1.aa.2\n\n');
  assert.equal(client.status.state, 'online');
  assert.equal(client.status.transport, 'sse');
  await streams[0].write(`id: ${two.cur}\ndata: ${JSON.stringify(two)}\n\nevent: hb\ndata: {"ts":1}\n\n`);
  assert.equal(c.state.open.text, 'one two ');
  c.send('by rest');
  await settle();
  assert.equal(c.state.pending[0].status, 'sent');
  assert.equal(http.calls.find((x) => x.path.endsWith('/messages')).body.client_id, 'id-1');
  sseWorks = false;
  await streams[0].fail();
  for (let i = 0; i < 4 && pages.length === 0; i++) await clock.advance(10_000);
  assert.match(pages[0].path, /after=1\.aa\.3&limit=\d+&wait=0/);
  pages[0].resolve(json(200, { events: [three], cur: three.cur, more: false }));
  await settle();
  assert.equal(client.status.transport, 'poll');
  assert.equal(c.state.open.text, 'one two three');
  assert.match(pages[1].path, /after=1\.aa\.4&limit=\d+&wait=25/);
  client.close();
  await settle();
});

test('an unreachable server is no reason for another transport', async () => {
  const { sockets, client, clock } = setup();
  client.connect();
  for (let i = 0; i < 5; i++) {
    await sockets.last().drop();
    await clock.advance(10_000);
  }
  assert.equal(sockets.all.length, 6);
});

test('SSE: clean end goes on from the cursor, 204 ends, silence is noticed', async () => {
  const streams = [];
  let answer = null;
  const route = (method, path, init) => {
    if (path !== '/conversations/c1/events') return json(200, {});
    if (answer) return answer;
    const s = stream(init.signal);
    streams.push({ ...s, id: new Headers(init.headers).get('last-event-id') });
    return s.response;
  };
  const { client, clock } = setup({ route, transports: ['sse'] });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await settle();
  await streams[0].write(`id: 1.aa.0\ndata: ${JSON.stringify({ v: 1, type: 'snapshot', state: snapshot().state })}\n\n`);
  assert.equal(c.state.loaded, true);
  assert.equal(c.state.cur, '1.aa.0');
  await clock.advance(30_000);
  await streams[0].end();
  assert.equal(streams[1].id, '1.aa.0');
  assert.equal(client.status.state, 'online');
  await streams[1].write(': hi\n\n');
  await clock.advance(37_500);
  assert.equal(client.status.code, 4009);
  answer = new Response(null, { status: 204 });
  await clock.advance(100);
  assert.equal(client.status.state, 'online');
  assert.equal(c.state.caughtUp, true);
  client.close();
});

test('long-poll: a cursor that is gone leads to a snapshot', async () => {
  const asked = [];
  let gone = true;
  const route = (method, path) => {
    asked.push(path);
    if (path.startsWith('/conversations/c1/log')) {
      if (gone) {
        gone = false;
        return json(410, { code: 'cursor_gone' });
      }
      return new Promise(() => {});
    }
    return json(200, { cur: '2.bb.7', state: { ...snapshot().state, open: { run: 3, message_id: 'm', attempt: 1, base: 1, text: 'so far' } } });
  };
  const { client } = setup({ route, transports: ['poll'] });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await settle();
  assert.equal(asked.length, 4);
  assert.equal(c.state.open.text, 'so far');
  assert.equal(c.state.last, 7);
  client.close();
});

test('long-poll: a scenario request has its state under another name', async () => {
  const route = (method, path) => {
    if (path === '/scenario-requests/c1') return json(200, { cur: '1.aa.1', state: { ...snapshot().state, result: { title: 'S' } } });
    if (path === '/conversations/c1') return json(404, { code: 'not_found' });
    return path.startsWith('/conversations/c1/log') ? new Promise(() => {}) : json(404, { code: 'not_found' });
  };
  const { client } = setup({ route, transports: ['poll'] });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.conversation('c2').subscribe(() => {});
  client.connect();
  await settle();
  assert.equal(c.state.result.title, 'S');
  assert.equal(client.conversation('c2').state.problem.code, 'not_found');
  client.close();
});

test('http: a 401 is repeated once after one shared refresh; fields reach the caller', async () => {
  let fresh = false;
  let refreshes = 0;
  const route = (m, path) => {
    if (path === '/bad') return json(422, { code: 'invalid', detail: 'No.', errors: [{ field: 'email', code: 'required', message: 'Say it.' }], request_id: 'r1' });
    return fresh ? json(200, { ok: path }) : json(401, { code: 'token_expired' });
  };
  const { client } = setup({ route, refresh: async () => { refreshes++; await settle(); fresh = true; return true; } });
  const got = await Promise.all([client.http.json('GET', '/a'), client.http.json('GET', '/b')]);
  assert.deepEqual(got, [{ ok: '/a' }, { ok: '/b' }]);
  assert.equal(refreshes, 1);
  await assert.rejects(client.http.json('POST', '/bad', {}), (e) => e.code === 'invalid' && e.fields[0].field === 'email' && e.requestId === 'r1' && !e.retryable);
});
