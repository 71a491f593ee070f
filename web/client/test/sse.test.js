import test from 'node:test';
import assert from 'node:assert/strict';
import { SSEParser } from '../src/sse.js';

const all = (...chunks) => {
  const p = new SSEParser();
  return { out: chunks.flatMap((c) => p.push(c)), p };
};

test('fields', () => {
  const cases = [
    ['data: a\n\n', [['message', 'a']]],
    ['data:a\n\n', [['message', 'a']]],
    ['data:  a\n\n', [['message', ' a']]],
    ['data\n\n', [['message', '']]],
    ['data: a\ndata: b\n\n', [['message', 'a\nb']]],
    ['event: hb\ndata: {}\n\n', [['hb', '{}']]],
    ['event: hb\n\ndata: x\n\n', [['message', 'x']]],
    [': comment\n\ndata: x\n\n', [['message', 'x']]],
    ['nonsense: 1\ndata: x\n\n', [['message', 'x']]],
    ['data: x', []],
    ['data: x\n', []],
    ['\n\n\n', []],
  ];
  for (const [text, want] of cases) {
    assert.deepEqual(all(text).out.map((m) => [m.type, m.data]), want, JSON.stringify(text));
  }
});

test('line ends: LF, CR and CRLF, also split between chunks', () => {
  for (const nl of ['\n', '\r', '\r\n']) {
    const text = `id: 1${nl}data: a${nl}data: b${nl}${nl}data: c${nl}${nl}`;
    for (let i = 0; i <= text.length; i++) {
      const got = all(text.slice(0, i), text.slice(i)).out.map((m) => m.data);
      assert.deepEqual(got, ['a\nb', 'c'], `${JSON.stringify(nl)} cut at ${i}`);
    }
    assert.deepEqual(all(...text).out.map((m) => m.data), ['a\nb', 'c']);
  }
});

test('bytes cut inside a character', () => {
  const bytes = new TextEncoder().encode('\ufeffdata: é😀\n\n');
  for (let i = 0; i <= bytes.length; i++) {
    assert.deepEqual(all(bytes.slice(0, i), bytes.slice(i)).out.map((m) => m.data), ['é😀'], `cut at ${i}`);
  }
});

test('only the first BOM is dropped', () => {
  assert.equal(all('\ufeffdata: a\n\n').out.length, 1);
  assert.equal(all('\n\ufeffdata: a\n\n').out.length, 0);
});

test('ids: an id-only block moves the cursor, NUL is ignored, the last id stays', () => {
  const { out, p } = all('id: 1.a.1\n\n', 'data: x\n\n', 'id: bad\0id\ndata: y\n\n', 'id: 1.a.2\ndata: z\n');
  assert.deepEqual(out.map((m) => m.id), ['1.a.1', '1.a.1']);
  assert.equal(p.lastEventId, '1.a.1', 'an unfinished block moves nothing');
  p.push('\n');
  assert.equal(p.lastEventId, '1.a.2');
});

test('retry takes digits only', () => {
  assert.equal(all('retry: 1000\n\n').p.retry, 1000);
  assert.equal(all('retry: 1s\n\n').p.retry, null);
});

test('a block without end is refused', () => {
  const p = new SSEParser();
  const mega = 'x'.repeat(1024 * 1024);
  assert.throws(() => {
    for (let i = 0; i < 10; i++) p.push(mega);
  }, RangeError);
});
