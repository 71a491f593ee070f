// One answer out of pieces, for the AI SDK. The SDK itself is driven against
// the real server in cmd/fluentpro/clients_test.go.
import test from 'node:test';
import assert from 'node:assert/strict';
import { resumingFetch } from '../ai-sdk/index.js';

const line = (c) => `data: ${typeof c === 'string' ? c : JSON.stringify(c)}\n\n`;
const start = [{ type: 'start', messageId: 'm' }, { type: 'start-step' }, { type: 'text-start', id: 'text' }];
const delta = (text) => ({ type: 'text-delta', id: 'text', delta: text });
const end = [{ type: 'text-end', id: 'text' }, { type: 'finish-step' }, { type: 'finish' }, '[DONE]'];

/** A body that brings chunks and then ends, cleanly or not; at = bytes kept. */
function piece(chunks, { clean = false, size = 1 << 20 } = {}) {
  const bytes = new TextEncoder().encode(chunks.map(line).join(''));
  let at = 0;
  return new Response(new ReadableStream({
    pull(c) {
      if (at < bytes.length) {
        c.enqueue(bytes.slice(at, at + size));
        at += size;
      } else if (clean) c.close();
      else c.error(new TypeError('cut'));
    },
  }), { status: 200, headers: { 'content-type': 'text/event-stream', 'x-vercel-ai-ui-message-stream': 'v1' } });
}

function server(...answers) {
  const asked = [];
  const fetch = async (url, init) => {
    asked.push({ url, method: init.method, body: init.body, headers: new Headers(init.headers) });
    const a = answers.shift();
    if (!a) throw new TypeError('unreachable');
    return a;
  };
  return { asked, fetch: resumingFetch({ fetch, random: () => 0, tries: 4 }) };
}

const post = { method: 'POST', headers: { authorization: 'Bearer t', 'content-type': 'application/json' }, body: JSON.stringify({ id: 'c/1', messages: [] }) };
const read = async (res) => (await res.text()).split('\n\n').filter(Boolean).map((x) => x.slice(6)).map((x) => (x === '[DONE]' ? x : JSON.parse(x)));
const textOf = (chunks) => chunks.filter((c) => c.type === 'text-delta').map((c) => c.delta).join('');

test('an uncut answer passes as it is', async () => {
  const all = [...start, delta('one '), delta('two'), ...end];
  for (const size of [1, 7, 1000]) {
    const { fetch, asked } = server(piece(all, { clean: true, size }));
    const res = await fetch('/api/chat', post);
    assert.equal(res.headers.get('x-vercel-ai-ui-message-stream'), 'v1');
    assert.deepEqual(await read(res), all);
    assert.equal(asked.length, 1);
  }
});

test('cut anywhere, cleanly or not, the answer comes once', async () => {
  const text = 'The quick brown fox — jumps 😀 over.';
  const first = [...start, ...text.match(/.{1,5}/gsu).map(delta)];
  for (let i = 0; i < first.length; i++) {
    for (const clean of [true, false]) {
      const status = { type: 'data-status', data: { state: 'recovering' }, transient: true };
      const { fetch, asked } = server(piece(first.slice(0, i + 1), { clean }), piece([...start, delta(text.slice(0, 20))], { clean }), piece([...start, delta(text.slice(0, 22)), status, delta(text.slice(22)), ...end]));
      const got = await read(await fetch('http://h/api/chat?x=1', post));
      assert.equal(textOf(got), text, `cut after ${i}`);
      for (const type of ['start', 'start-step', 'text-start', 'text-end', 'finish']) assert.equal(got.filter((c) => c.type === type).length, 1, type);
      assert.equal(got.at(-1), '[DONE]');
      assert.ok(got.some((c) => c.type === 'data-status'));
      assert.deepEqual(asked.map((a) => `${a.method} ${a.url}`), ['POST http://h/api/chat?x=1', 'GET http://h/api/chat/c%2F1/stream?x=1', 'GET http://h/api/chat/c%2F1/stream?x=1']);
      assert.equal(asked[1].headers.get('authorization'), 'Bearer t');
      assert.equal(asked[1].headers.get('content-type'), null);
      assert.equal(asked[1].body, undefined);
    }
  }
});

test('passing trouble is waited out, at the question and after a cut', async () => {
  const busy = (status = 503) => new Response('{"code":"overloaded"}', { status });
  const { fetch, asked } = server(busy(), piece([...start, delta('one ')]), busy(), busy(429), piece([...start, delta('one two'), ...end]));
  assert.equal(textOf(await read(await fetch('/api/chat', post))), 'one two');
  assert.deepEqual(asked.map((a) => a.method), ['POST', 'POST', 'GET', 'GET', 'GET']);
});

test('an answer that ended long ago is asked for by the question itself', async () => {
  const { fetch, asked } = server(piece([...start, delta('one ')]), new Response(null, { status: 204 }), piece([...start, delta('one two'), ...end]));
  assert.equal(textOf(await read(await fetch('/api/chat', post))), 'one two');
  assert.deepEqual(asked.map((a) => a.method), ['POST', 'GET', 'POST']);
});

test('a refusal is the answer; 204 stays 204', async () => {
  const refused = server(new Response('{"code":"not_found"}', { status: 404 }));
  assert.equal((await refused.fetch('/api/chat', post)).status, 404);
  const none = server(new Response(null, { status: 204 }));
  assert.equal((await none.fetch('/api/chat/c/stream', { method: 'GET' })).status, 204);
});

test('a text that was replaced is an error, not a mixture', async () => {
  for (const next of [[...start, delta('other')], [{ type: 'start', messageId: 'n' }]]) {
    const { fetch } = server(piece([...start, delta('one ')]), piece(next));
    await assert.rejects((await fetch('/api/chat', post)).text());
  }
});

test('a server that never comes back is an error in the end', async () => {
  const { fetch, asked } = server(piece([...start, delta('one ')]));
  await assert.rejects((await fetch('/api/chat', post)).text(), TypeError);
  assert.equal(asked.length, 1 + 4);
  const mute = server(...Array.from({ length: 12 }, () => piece(start)));
  await assert.rejects((await mute.fetch('/api/chat', post)).text(), /lost/);
  assert.equal(mute.asked.length, 1 + 4);
});

test('an abort ends it, also while it waits', async () => {
  const abort = new AbortController();
  const asked = [];
  const fetch = resumingFetch({ random: () => 0.99, fetch: async (url, init) => {
    asked.push(init.method);
    if (asked.length > 1) throw new TypeError('unreachable');
    return piece([...start, delta('one ')]);
  } });
  const res = await fetch('/api/chat', { ...post, signal: abort.signal });
  const reader = res.body.getReader();
  await reader.read();
  const rest = reader.read();
  abort.abort();
  await assert.rejects(rest, { name: 'AbortError' });
});
