// The hook, rendered by React itself.
import test from 'node:test';
import assert from 'node:assert/strict';
import { log } from './fakes.js';
import { ev, setup, snapshot } from './world.js';

let react;
try {
  react = { ...(await import('react')), ...(await import('react-test-renderer')).default, ...(await import('../react/index.js')) };
} catch (err) {
  if (process.env.FLUENTPRO_TEST_REQUIRE === '1') throw err;
}
const skip = !react && 'npm ci brings React';
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

/** Renders the hook and keeps what it gave each time. */
async function render(client, props = {}) {
  const { act, create, createElement, useChat } = react;
  const seen = [];
  const Chat = (p) => {
    seen.push(useChat({ client, id: 'c1', ...p }));
    return createElement('p', null, seen.at(-1).messages.map((m) => m.parts[0].text).join('|'));
  };
  let root;
  const { error } = console;
  console.error = (...a) => (String(a[0]).includes('react-test-renderer is deprecated') ? undefined : error(...a));
  await act(async () => { root = create(createElement(Chat, props)); });
  console.error = error;
  return {
    seen, now: () => seen.at(-1), act, text: () => root.toJSON().children?.join('') ?? '',
    update: (p) => act(async () => root.update(createElement(Chat, p))),
    unmount: () => act(async () => root.unmount()),
  };
}

test('a turn, as useChat shows it', { skip }, async () => {
  const { sockets, client } = setup();
  client.connect();
  const r = await render(client);
  const s = sockets.last();
  const l = log();
  await r.act(() => s.welcome());
  assert.equal(r.now().connection.state, 'online');
  await r.act(() => s.say(snapshot()));
  assert.equal(r.now().status, 'ready');
  let id;
  await r.act(async () => { id = await r.now().sendMessage({ text: 'Hello' }); });
  assert.equal(r.now().status, 'submitted');
  assert.deepEqual(r.now().messages.map((m) => [m.id, m.role, m.parts[0].text, m.metadata.delivery]), [[id, 'user', 'Hello', 'sending']]);
  await r.act(() => s.say(ev(
    l.ev('message.accepted', { n: 1, id: 'm1', author: 'learner', text: 'Hello', client_id: id, run: 1, at: 5 }),
    l.run('partner.started', { message_id: 'm2', parent: 1 }),
  )));
  assert.equal(r.now().status, 'submitted');
  assert.equal(r.now().messages[0].id, id, 'the same item of a list, from sending to storing');
  const question = r.now().messages[0];
  await r.act(() => s.say(ev(l.run('partner.delta', { at: 0, text: 'Good ' }))));
  assert.equal(r.now().status, 'streaming');
  assert.deepEqual(r.now().messages[1].parts, [{ type: 'text', text: 'Good ', state: 'streaming' }]);
  assert.equal(r.now().messages[0], question, 'what has not changed is the same object');
  await r.act(() => s.say(ev(l.run('partner.delta', { at: 5, text: 'day' }), l.run('partner.completed', { message_id: 'm2', text: 'Good day', finish: 'stop', n: 2 }))));
  assert.equal(r.now().status, 'ready');
  assert.deepEqual(r.now().messages.map((m) => [m.id, m.role, m.parts[0].state]), [[id, 'user', 'done'], ['m2', 'assistant', 'done']]);
  assert.equal(r.text(), 'Hello|Good day');
  await r.unmount();
  assert.deepEqual(s.frames('unsub').map((f) => f.c), ['c1']);
  client.close();
});

test('stop, failure, refusal, retry, discard', { skip }, async () => {
  const { sockets, client } = setup();
  client.connect();
  const r = await render(client, { policy: 'interrupt' });
  const s = sockets.last();
  const l = log();
  await r.act(() => s.welcome());
  await r.act(() => s.say(snapshot()));
  await r.act(() => s.say(ev(l.run('partner.started', { message_id: 'm' }), l.run('partner.delta', { at: 0, text: 'abc' }))));
  await r.act(() => r.now().stop());
  assert.deepEqual(s.frames('cmd').map((f) => [f.op, f.args.run]), [['cancel', 1]]);
  await r.act(() => s.say(ev(l.run('partner.failed', { message_id: 'm', code: 'upstream_timeout', message: 'Too slow.', retryable: true, text: 'abc' }))));
  assert.deepEqual([r.now().status, r.now().error.code, r.now().error.message], ['error', 'upstream_timeout', 'Too slow.']);
  let id;
  await r.act(async () => { id = await r.now().sendMessage({ parts: [{ type: 'text', text: 'one' }, { type: 'file' }, { type: 'text', text: 'two' }] }); });
  const sent = s.frames('cmd').at(-1);
  assert.deepEqual(sent.args, { text: 'one\ntwo', policy: 'interrupt' });
  await r.act(() => s.say({ t: 'res', id: sent.id, ok: false, err: { code: 'conversation_ended', message: 'It is over.', retryable: false } }));
  assert.equal(r.now().error.code, 'conversation_ended');
  assert.equal(r.now().messages.at(-1).metadata.delivery, 'failed');
  await r.act(async () => r.now().retry(id));
  assert.equal(s.frames('cmd').at(-1).key, id);
  await r.act(() => s.say({ t: 'res', id: s.frames('cmd').at(-1).id, ok: false, err: { code: 'conversation_ended', message: 'It is over.' } }));
  await r.act(async () => r.now().discard(id));
  assert.equal(r.now().messages.length, 0);
  await r.unmount();
  client.close();
});

test('another conversation: the old one is let go, actions are its own', { skip }, async () => {
  const { sockets, client } = setup();
  client.connect();
  const r = await render(client);
  await r.act(() => sockets.last().welcome());
  const first = r.now();
  await r.update({ id: 'c2' });
  assert.deepEqual(sockets.last().frames('unsub').map((f) => f.c), ['c1']);
  assert.deepEqual(sockets.last().frames('sub').map((f) => f.c), ['c2']);
  assert.equal(r.now().id, 'c2');
  assert.notEqual(r.now().sendMessage, first.sendMessage);
  const again = r.now();
  await r.update({ id: 'c2' });
  assert.equal(r.now().sendMessage, again.sendMessage);
  assert.equal(r.now().messages, again.messages);
  await r.unmount();
  client.close();
});
