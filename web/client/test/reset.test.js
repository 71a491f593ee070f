// A reset counts only with its snapshot: what a broken connection announced and
// did not bring is forgotten, and the next one judges the cursor afresh.
import test from 'node:test';
import assert from 'node:assert/strict';
import { json, log, settle, stream } from './fakes.js';
import { ev, setup, snapshot } from './world.js';

test('SSE: a stream that ends between reset and snapshot; the next one replays', async () => {
  const streams = [];
  const route = (method, path, init) => {
    if (path !== '/conversations/c1/events') return json(200, {});
    const s = stream(init.signal);
    streams.push({ ...s, id: new Headers(init.headers).get('last-event-id') });
    return s.response;
  };
  const { client, clock } = setup({ route, transports: ['sse'] });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await settle();
  const l = log();
  const say = (s, e) => s.write(`id: ${e.cur}\ndata: ${JSON.stringify(e)}\n\n`);
  await streams[0].write(`id: 1.aa.0\ndata: ${JSON.stringify({ v: 1, type: 'snapshot', state: snapshot().state })}\n\n`);
  await say(streams[0], l.run('partner.started', { message_id: 'm' }));
  await say(streams[0], l.run('partner.delta', { at: 0, text: 'one ' }));
  await streams[0].write('data: {"v":1,"type":"reset","reason":"ahead"}\n\n');
  await clock.advance(5000);
  await streams[0].end();
  assert.equal(streams[1].id, '1.aa.2');
  await say(streams[1], l.run('partner.delta', { at: 4, text: 'two' }));
  assert.equal(c.state.open.text, 'one two');
  client.close();
});

test('long-poll: gone, and the node dies before its snapshot; another serves the cursor', async () => {
  const l = log();
  const events = [l.run('partner.started', { message_id: 'm' }), l.run('partner.delta', { at: 0, text: 'one ' })];
  const next = l.run('partner.delta', { at: 4, text: 'two' });
  const asked = [];
  let dying = false;
  const route = (method, path) => {
    asked.push(path);
    if (path === '/me') return json(200, {});
    if (path === '/conversations/c1') return dying ? json(503, { code: 'draining', retryable: true }) : json(200, { cur: '1.aa.0', state: snapshot().state });
    const after = new URLSearchParams(path.split('?')[1]).get('after');
    if (after === '1.aa.0') return json(200, { events, cur: '1.aa.2', more: false });
    if (!dying && asked.filter((p) => p.includes('1.aa.2')).length === 1) {
      dying = true;
      return json(410, { code: 'cursor_gone' });
    }
    return after === '1.aa.2' ? json(200, { events: [next], cur: next.cur, more: false }) : new Promise(() => {});
  };
  const { client, clock } = setup({ route, transports: ['poll'] });
  const c = client.conversation('c1');
  const texts = [];
  c.subscribe((s) => texts.push(s.open?.text ?? ''));
  client.connect();
  await settle();
  await clock.advance(200);
  assert.equal(c.state.open.text, 'one two');
  assert.equal(c.state.awaitingSnapshot, false);
  assert.deepEqual(texts.filter((t, i) => t.length < (texts[i - 1] ?? '').length), [], 'nothing was taken back');
  client.close();
});

test('long-poll: the same picture without a cursor takes no open text away', async () => {
  let away = false;
  let polls = 0;
  const open = { run: 1, message_id: 'm', attempt: 1, base: 1, text: 'so far' };
  const route = (method, path) => {
    if (path === '/me') return json(200, {});
    if (path === '/conversations/c1') return json(200, away ? { cur: '', state: snapshot().state } : { cur: '1.aa.2', state: { ...snapshot().state, open } });
    if (polls++ > 0) return new Promise(() => {});
    away = true;
    return json(410, { code: 'cursor_gone' });
  };
  const { client, clock } = setup({ route, transports: ['poll'] });
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  await settle();
  assert.equal(polls, 1);
  await clock.advance(200);
  assert.equal(polls, 2, 'asked again with the same cursor');
  assert.equal(c.state.open?.text, 'so far');
  client.close();
});

test('WebSocket: a reset without its snapshot dies with the socket', async () => {
  const { sockets, client, clock } = setup();
  const c = client.conversation('c1');
  c.subscribe(() => {});
  client.connect();
  const l = log();
  await sockets.last().welcome();
  await sockets.last().say(snapshot());
  await sockets.last().say(ev(l.run('partner.started', {}), l.run('partner.delta', { at: 0, text: 'one ' })));
  await sockets.last().say({ t: 'reset', c: 'c1', reason: 'slow' });
  await sockets.last().drop();
  await clock.advance(100);
  const s = sockets.last();
  await s.welcome();
  assert.deepEqual(s.sent[0].resume, [{ c: 'c1', cur: '1.aa.2' }]);
  await s.say(ev(l.run('partner.delta', { at: 4, text: 'two' })));
  assert.equal(c.state.open.text, 'one two');
});
