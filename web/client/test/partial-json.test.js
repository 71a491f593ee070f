import test from 'node:test';
import assert from 'node:assert/strict';
import { readPartialJSON } from '../src/partial-json.js';

test('unfinished documents', () => {
  const cases = [
    ['', undefined],
    ['   ', undefined],
    ['{', {}],
    ['{"ti', {}],
    ['{"title"', {}],
    ['{"title":', {}],
    ['{"title":"', { title: '' }],
    ['{"title":"A me', { title: 'A me' }],
    ['{"title":"A \\', { title: 'A ' }],
    ['{"title":"A \\u00', { title: 'A ' }],
    ['{"title":"A \\u00e9', { title: 'A é' }],
    ['{"t":"\\ud83d', { t: '' }],
    ['{"t":"\\ud83d\\ude00', { t: '😀' }],
    ['{"t":"x","o":[', { t: 'x', o: [] }],
    ['{"o":[{"text":"a"},{"te', { o: [{ text: 'a' }, {}] }],
    ['{"o":[{"text":"a"},{"text":"b', { o: [{ text: 'a' }, { text: 'b' }] }],
    ['{"r":tr', {}],
    ['{"r":true', { r: true }],
    ['{"w":1', {}],
    ['{"w":10,', { w: 10 }],
    ['{"w":-1.5e3}', { w: -1500 }],
    ['[1,2', [1]],
    ['\ufeff{"a":null}', { a: null }],
    // Mistakes end the reading.
    ['{"a":1 "b":2}', { a: 1 }],
    ['{"a":1,}', { a: 1 }],
    ['{"a":01}', {}],
    ['nonsense', undefined],
    ['```json\n{"a":1}', undefined],
  ];
  for (const [text, want] of cases) assert.deepEqual(readPartialJSON(text), want, JSON.stringify(text));
});

test('every prefix is readable, strings only grow, the whole equals JSON.parse', () => {
  const doc = {
    title: 'A "difficult" call\n', summary: 'Ünïcödé 😀 \\ /', n: 12.5, ok: false, none: null,
    objectives: [{ id: 'o1', text: 'Ask for time', weight: 40 }, { id: 'o2', text: 'Say no', weight: 60 }],
    ['__proto__']: 'a name like any other',
  };
  for (const text of [JSON.stringify(doc), JSON.stringify(doc, null, 2)]) {
    let title = '';
    for (let i = 0; i <= text.length; i++) {
      const v = readPartialJSON(text.slice(0, i));
      if (v?.title !== undefined) {
        assert.ok(v.title.startsWith(title), `at ${i}`);
        title = v.title;
      }
      assert.equal({}.polluted, undefined);
    }
    assert.deepEqual(readPartialJSON(text), JSON.parse(text));
  }
});

test('depth is bounded', () => {
  assert.ok(readPartialJSON('['.repeat(100_000)));
});
