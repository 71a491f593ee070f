import test from 'node:test';
import assert from 'node:assert/strict';
import { json, log } from './fakes.js';
import { ev, setup, snapshot } from './world.js';

test('hello, welcome, subscription, events', async () => {
  const { sockets, client } = setup({ getToken: () => 'secret' });
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

test('an attach that failed for now is asked for again; passing trouble is not', async () => {
  const { sockets, client, clock } = setup();
  client.conversation('c1').subscribe(() => {});
  client.connect();
  const s = sockets.last();
  await s.welcome();
  const trouble = { t: 'err', c: 'c1', code: 'storage_unavailable', message: '', retryable: true, retry_ms: 1000 };
  await s.say(trouble);
  await s.say(trouble); // one retry, however often it is told
  assert.equal(s.frames('sub').length, 0);
  await clock.advance(2000);
  assert.deepEqual(s.frames('sub').map((f) => f.c), ['c1']);
  await s.say({ t: 'sub_ok', c: 'c1', mode: 'snapshot', cur: '' });
  await s.say(trouble);
  await clock.advance(5000);
  assert.equal(s.frames('sub').length, 1);
  await s.say({ t: 'err', c: 'c2', code: 'not_found', message: '', retryable: false });
  await clock.advance(5000);
  assert.equal(s.frames('sub').length, 1);
});

test('a token that ends soon is renewed on the open connection', async () => {
  let now = 'old';
  const { sockets, client } = setup({ getToken: ({ refresh }) => { if (refresh) now = 'new'; return now; } });
  client.connect();
  await sockets.last().welcome();
  await sockets.last().say({ t: 'err', code: 'token_expired', message: 'x', retryable: true, retry_ms: 60000 });
  assert.deepEqual(sockets.last().frames('auth'), [{ t: 'auth', token: 'new' }]);
  client.close();
  // With a cookie, which no script can read, by a ticket.
  const page = setup({ refresh: async () => true, route: (m, path) => (path === '/tickets' ? json(201, { ticket: 'tick', expires_in: 60 }) : json(200, {})) });
  page.client.connect();
  await page.sockets.last().welcome();
  await page.sockets.last().say({ t: 'err', code: 'token_expired', message: 'x', retryable: true });
  assert.deepEqual(page.sockets.last().frames('auth'), [{ t: 'auth', ticket: 'tick' }]);
  page.client.close();
  // Whoever has no new one waits for the close.
  const out = setup({ getToken: () => 'fixed' });
  out.client.connect();
  await out.sockets.last().welcome();
  await out.sockets.last().say({ t: 'err', code: 'token_expired', message: 'x', retryable: true });
  assert.equal(out.sockets.last().frames('auth').length, 0);
  assert.equal(out.client.status.state, 'online');
  out.client.close();
});
