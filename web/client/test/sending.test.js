import test from 'node:test';
import assert from 'node:assert/strict';
import { log, memoryStorage } from './fakes.js';
import { ev, setup, snapshot } from './world.js';

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
