import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../src/index.js';
import { FakeClock, fakeFetch, fakeLifecycle, fakeSockets, json, log, memoryStorage, settle, stream } from './fakes.js';

/** A client whose world is all scripted. */
function setup(o = {}) {
  const clock = new FakeClock();
  const sockets = fakeSockets();
  const lifecycle = fakeLifecycle();
  const route = o.route ?? ((m, path) => (path === '/me' ? undefined : json(404, { code: 'not_found' })));
  const http = fakeFetch((...a) => route(...a));
  let ids = 0;
  const states = [];
  const client = new Client({
    baseURL: 'http://server.test', clock, WebSocket: sockets.WebSocket, fetch: http.fetch, lifecycle,
    random: () => o.random ?? 1, newId: () => `id-${++ids}`, storage: o.storage, token: o.token, refresh: o.refresh, transports: o.transports,
  });
  client.onStatus((s) => states.push(s.state));
  return { clock, sockets, lifecycle, http, client, states };
}

const snapshot = (over = {}) => ({ t: 'snapshot', c: 'c1', cur: '1.aa.0', state: { conversation: { id: 'c1', kind: 'chat', title: 'T', state: 'active', created_at: 1 }, turns: [], open: null, ...over } });
const ev = (...e) => ({ t: 'ev', c: 'c1', e });

test('hello, welcome, subscription, events', async () => {
  const { sockets, client } = setup({ token: () => 'secret' });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  const s = sockets.last();
  assert.equal(s.url, 'ws://server.test/api/v2/ws');
  assert.equal(s.protocol, 'conv.v1.json');
  await s.welcome();
  assert.equal(client.status.state, 'online');
  assert.equal(client.status.transport, 'websocket');
  assert.equal(s.sent[0].t, 'hello');
  assert.equal(s.sent[0].token, 'secret');
  assert.deepEqual(s.sent[0].resume, [{ c: 'c1' }]);
  assert.ok(!s.url.includes('secret'));
  const l = log();
  await s.say(snapshot());
  await s.say(ev(l.run('partner.started', { message_id: 'm' }), l.run('partner.delta', { at: 0, text: 'Hi' })));
  assert.equal(c.state.open.text, 'Hi');
  const c2 = client.conversation('c2');
  const off = c2.subscribe(() => {});
  assert.equal(s.frames('sub')[0].c, 'c2');
  off();
  assert.equal(s.frames('unsub')[0].c, 'c2');
});

test('a subscription between hello and welcome is not lost', async () => {
  const { sockets, client } = setup();
  client.connect();
  await sockets.last().open();
  client.conversation('c1').subscribe(() => {});
  await sockets.last().say({ t: 'welcome', session: 's' });
  assert.deepEqual(sockets.last().frames('sub').map((f) => f.c), ['c1']);
});

test('a cut in mid-reply resumes from the cursor with the session', async () => {
  const { sockets, client, clock } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  const l = log();
  await sockets.last().welcome('s-9');
  await sockets.last().say(snapshot());
  await sockets.last().say(ev(l.run('partner.started', {}), l.run('partner.delta', { at: 0, text: 'one ' })));
  await sockets.last().drop(1006);
  assert.equal(client.status.state, 'reconnecting');
  assert.equal(client.status.code, 1006);
  assert.equal(c.state.open.text, 'one ');
  await clock.advance(100);
  const s = sockets.last();
  assert.equal(sockets.all.length, 2);
  await s.welcome('s-9');
  assert.equal(s.sent[0].session, 's-9');
  assert.deepEqual(s.sent[0].resume, [{ c: 'c1', cur: '1.aa.2' }]);
  const third = l.run('partner.delta', { at: 4, text: 'two' });
  await s.say(ev({ ...third, from: 2, data: { at: 0, text: 'one two' } }));
  assert.equal(c.state.open.text, 'one two');
});

test('a hole asks for a resume, the same hole again for a snapshot', async () => {
  const { sockets, client } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  const s = sockets.last();
  await s.welcome();
  await s.say(snapshot());
  const l = log();
  await s.say(ev(l.run('partner.started', {})));
  l.run('partner.delta', { at: 0, text: 'lost' });
  const late = l.run('partner.delta', { at: 4, text: 'late' });
  await s.say(ev(late));
  assert.equal(s.frames('sub').at(-1).cur, '1.aa.1');
  await s.say(ev(late));
  assert.equal(s.frames('sub').length, 2);
  assert.equal(s.frames('sub').at(-1).cur, undefined);
  await s.say({ ...snapshot({ open: { run: 1, message_id: 'm', attempt: 1, base: 1, text: 'lostlate' } }), cur: '1.aa.3' });
  assert.equal(c.state.open.text, 'lostlate');
});

test('back-off grows with full jitter and is reset by health', async () => {
  const { sockets, client, clock } = setup();
  client.connect();
  for (const cap of [100, 200, 500, 1000, 2000, 5000, 10000, 10000]) {
    const n = sockets.all.length;
    await sockets.last().drop();
    await clock.advance(cap - 1);
    assert.equal(sockets.all.length, n, `before ${cap}`);
    await clock.advance(1);
    assert.equal(sockets.all.length, n + 1, `at ${cap}`);
  }
  assert.equal(client.status.state, 'connecting');
  await sockets.last().welcome();
  await clock.advance(10_000);
  await sockets.last().drop();
  const n = sockets.all.length;
  await clock.advance(100);
  assert.equal(sockets.all.length, n + 1);
  const calm = setup({ random: 0 });
  calm.client.connect();
  await calm.sockets.last().drop();
  await calm.clock.advance(0);
  assert.equal(calm.sockets.all.length, 2, 'jitter goes down to nothing');
});

test('silence of 2.5 intervals ends the connection, any frame keeps it', async () => {
  const { sockets, client, clock } = setup();
  client.connect();
  const s = sockets.last();
  await s.welcome();
  await clock.advance(49_000);
  await s.say({ t: 'ping', n: 7 });
  assert.deepEqual(s.frames('pong'), [{ t: 'pong', n: 7 }]);
  await clock.advance(49_999);
  assert.equal(client.status.state, 'online');
  await clock.advance(1);
  assert.equal(client.status.state, 'reconnecting');
  assert.equal(client.status.code, 4009);
});

test('no welcome within 10 s is a failure', async () => {
  const { sockets, client, clock } = setup();
  client.connect();
  await sockets.last().open();
  await clock.advance(10_000);
  assert.equal(client.status.code, 4010);
  await clock.advance(100);
  assert.equal(sockets.all.length, 2);
});

test('the device wakes: a waiting client tries at once, an online one asks for a sign of life', async () => {
  const { sockets, client, clock, lifecycle } = setup();
  client.connect();
  for (let i = 0; i < 6; i++) {
    await sockets.last().drop();
    if (i < 5) await clock.advance(10_000);
  }
  const n = sockets.all.length;
  lifecycle.signal('wake');
  assert.equal(sockets.all.length, n + 1);
  const s = sockets.last();
  await s.welcome();
  lifecycle.signal('wake');
  assert.equal(s.frames('ping').length, 1);
  await s.say({ t: 'pong', n: 1 });
  await clock.advance(5000);
  assert.equal(client.status.state, 'online');
  lifecycle.isOffline = true;
  lifecycle.signal('offline');
  await clock.advance(5000);
  assert.equal(client.status.state, 'offline', 'only when the server is silent too');
});

test('close codes', async () => {
  const cases = [
    [4509, 'offline'], [4526, 'outdated'], [4503, 'offline'], [1000, 'offline'],
    [1001, 'reconnecting'], [1012, 'reconnecting'], [4008, 'reconnecting'], [4429, 'reconnecting'],
  ];
  for (const [code, want] of cases) {
    const { sockets, client, clock } = setup();
    client.connect();
    await sockets.last().welcome();
    await sockets.last().drop(code);
    assert.equal(client.status.state, want, String(code));
    assert.equal(client.status.code, code);
    await clock.advance(200);
    assert.equal(sockets.all.length, want === 'reconnecting' ? 2 : 1, String(code));
    client.close();
    assert.equal(clock.timers.size, 0, 'no timer is left behind');
  }
});

test('4401: one refresh, then on; a refused refresh signs out', async () => {
  let answer = true;
  let asked = 0;
  const { sockets, client, clock } = setup({ refresh: async () => { asked++; return answer; } });
  client.connect();
  await sockets.last().welcome();
  await sockets.last().drop(4401);
  assert.equal(asked, 1);
  await clock.advance(100);
  await sockets.last().welcome();
  assert.equal(client.status.state, 'online');
  answer = false;
  await sockets.last().drop(4401);
  assert.equal(client.status.state, 'signed_out');
  assert.equal(client.status.number, 4);
  await clock.advance(60_000);
  assert.equal(sockets.all.length, 2);
  client.connect();
  assert.equal(sockets.all.length, 3, 'connect begins again after a sign-in');
});

test('a refused upgrade is explained by a probe: 401 leads to a refresh', async () => {
  let asked = 0;
  const { sockets, client } = setup({ route: () => json(401, { code: 'token_expired' }), refresh: async () => { asked++; return false; } });
  client.connect();
  await sockets.last().drop(1006);
  assert.equal(asked, 1);
  assert.equal(client.status.state, 'signed_out');
});

test('goaway: a new connection after the told time', async () => {
  const { sockets, client, clock } = setup();
  client.connect();
  await sockets.last().welcome();
  await sockets.last().say({ t: 'goaway', reason: 'draining', after_ms: 700, grace_ms: 3000 });
  await clock.advance(699);
  assert.equal(sockets.all.length, 1);
  await clock.advance(101);
  assert.equal(sockets.all.length, 2);
});

test('a message is sent exactly once: the same id after a cut before the answer', async () => {
  const storage = memoryStorage();
  const { sockets, client, clock } = setup({ storage });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await sockets.last().welcome();
  await sockets.last().say(snapshot());
  c.send('hello');
  assert.deepEqual(c.state.pending.map((m) => [m.clientId, m.status]), [['id-1', 'sending']]);
  const first = sockets.last().frames('cmd')[0];
  assert.deepEqual([first.op, first.key, first.args.text], ['send', 'id-1', 'hello']);
  await sockets.last().drop();
  await clock.advance(100);
  await sockets.last().welcome();
  const again = sockets.last().frames('cmd');
  assert.deepEqual(again.map((f) => f.key), ['id-1']);
  await sockets.last().say({ t: 'res', id: again[0].id, ok: true, data: { message_id: 'm', turn: 1, run: 1, duplicate: true } });
  assert.equal(c.state.pending[0].status, 'sent');
  await clock.advance(20_000);
  assert.equal(sockets.last().frames('cmd').length, 1);
  const l = log();
  await sockets.last().say(ev(l.ev('message.accepted', { n: 1, id: 'm', author: 'learner', text: 'hello', client_id: 'id-1', run: 1, at: 3 })));
  assert.deepEqual(c.state.pending, []);
  assert.equal(c.state.turns.length, 1);
  assert.equal(storage.m.size, 0);
});

test('the log confirms a message whose answer was lost', async () => {
  const { sockets, client, clock } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await sockets.last().welcome();
  await sockets.last().say(snapshot());
  c.send('hello');
  const l = log();
  await sockets.last().say(ev(l.ev('message.accepted', { n: 1, id: 'm', author: 'learner', text: 'hello', client_id: 'id-1', run: 1, at: 3 })));
  assert.deepEqual(c.state.pending, []);
  await sockets.last().drop();
  await clock.advance(100);
  await sockets.last().welcome();
  await clock.advance(1000);
  assert.equal(sockets.last().frames('cmd').length, 0);
});

test('messages keep their order and wait for the connection', async () => {
  const { sockets, client } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  c.send('one');
  c.send('two');
  client.connect();
  const s = sockets.last();
  await s.welcome();
  assert.deepEqual(s.frames('cmd').map((f) => f.args.text), ['one']);
  await s.say({ t: 'res', id: s.frames('cmd')[0].id, ok: true, data: {} });
  assert.deepEqual(s.frames('cmd').map((f) => f.args.text), ['one', 'two']);
});

test('silence after a command repeats it on the same connection', async () => {
  const { sockets, client, clock } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await sockets.last().welcome();
  c.send('one');
  await clock.advance(10_500);
  assert.deepEqual(sockets.last().frames('cmd').map((f) => f.key), ['id-1', 'id-1']);
});

test('a passing failure is repeated, a lasting one shown; retry keeps the id', async () => {
  const { sockets, client, clock } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  const s = sockets.last();
  await s.welcome();
  c.send('one');
  const answer = (err) => s.say({ t: 'res', id: s.frames('cmd').at(-1).id, ok: false, err });
  await answer({ code: 'storage_unavailable', message: 'x', retryable: true, retry_ms: 300 });
  await clock.advance(300);
  assert.equal(s.frames('cmd').length, 2);
  await answer({ code: 'conversation_ended', message: 'It is over.', retryable: false });
  assert.equal(c.state.pending[0].status, 'failed');
  assert.equal(c.state.pending[0].error.code, 'conversation_ended');
  c.send('two');
  assert.equal(s.frames('cmd').length, 2, 'nothing overtakes a failed message');
  c.retry('id-1');
  assert.deepEqual(s.frames('cmd').map((f) => f.key), ['id-1', 'id-1', 'id-1']);
  await answer({ code: 'conversation_ended', message: 'It is over.', retryable: false });
  c.discard('id-1');
  assert.equal(s.frames('cmd').at(-1).key, 'id-2');
});

test('unsent messages survive a reload, with their ids', async () => {
  const storage = memoryStorage();
  const before = setup({ storage });
  before.client.conversation('c1').subscribe(() => {});
  before.client.conversation('c1').send('kept');
  const after = setup({ storage });
  const c = after.client.conversation('c1');
  c.subscribe(() => {});
  assert.equal(c.state.pending[0].text, 'kept');
  after.client.connect();
  await after.sockets.last().welcome();
  assert.deepEqual(after.sockets.last().frames('cmd').map((f) => f.key), ['id-1']);
});

test('stop is repeated after a cut while its run is open', async () => {
  const { sockets, client, clock } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await sockets.last().welcome();
  await sockets.last().say(snapshot());
  c.stop();
  assert.equal(sockets.last().frames('cmd').length, 0, 'nothing to stop');
  const l = log();
  await sockets.last().say(ev(l.run('partner.started', {}), l.run('partner.delta', { at: 0, text: 'abc' })));
  c.stop();
  assert.equal(c.state.stopRequested, 1);
  await sockets.last().drop();
  await clock.advance(100);
  const s = sockets.last();
  await s.welcome();
  assert.deepEqual(s.frames('cmd').map((f) => [f.op, f.args.run]), [['cancel', 1]]);
  await s.say(ev(l.run('partner.stopped', { message_id: 'm', text: 'abc', by: 'learner', n: 1 })));
  assert.equal(c.state.stopRequested, 0);
  assert.equal(c.state.turns[0].finish, 'stopped');
});

test('acknowledgements: after 5 s or 200 events', async () => {
  const { sockets, client, clock } = setup();
  client.conversation('c1').subscribe(() => {});
  client.connect();
  const s = sockets.last();
  await s.welcome();
  await s.say(snapshot());
  const l = log();
  await s.say(ev(l.run('partner.started', {})));
  await clock.advance(5000);
  assert.deepEqual(s.frames('ack'), [{ t: 'ack', c: 'c1', cur: '1.aa.1' }]);
  const many = Array.from({ length: 200 }, () => l.ev('other', {}));
  await s.say(ev(...many));
  assert.equal(s.frames('ack').length, 2);
});

test('frames of a conversation that nobody reads any more are declined', async () => {
  const { sockets, client } = setup();
  client.connect();
  await sockets.last().welcome();
  await sockets.last().say(ev(log().ev('other', {})));
  assert.deepEqual(sockets.last().frames('unsub'), [{ t: 'unsub', c: 'c1' }]);
});

test('err frames reach their command or their conversation', async () => {
  const { sockets, client } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  const s = sockets.last();
  await s.welcome();
  await s.say({ t: 'err', code: 'not_found', message: 'No such conversation.', retryable: false, c: 'c1' });
  assert.equal(c.state.problem.code, 'not_found');
  c.send('x');
  await s.say({ t: 'err', code: 'invalid', message: 'Bad.', retryable: false, id: s.frames('cmd')[0].id });
  assert.equal(c.state.pending[0].status, 'failed');
});

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
