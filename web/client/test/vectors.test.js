// The conformance vectors: the same file judges the Go client.
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { branch } from '../src/branch.js';
import { initialView, reduce } from '../src/reducer.js';

const { vectors } = JSON.parse(readFileSync(new URL('../../../api/vectors/client.json', import.meta.url), 'utf8'));

test('there are vectors', () => assert.ok(vectors.length >= 20));

for (const { name, receive, expect } of vectors) {
  test(`vector: ${name}`, () => {
    const view = receive.reduce(reduce, initialView('c'));
    const open = view.open && { run: view.open.run, attempt: view.open.attempt, base: view.open.base, text: view.open.text, stopping: view.open.stopping };
    assert.deepEqual(open, expect.open);
    assert.deepEqual(
      view.turns.map(({ n, author, text, finish }) => ({ n, author, text, ...(finish ? { finish } : {}) })),
      expect.turns,
    );
    if (expect.head) {
      assert.deepEqual(view.head, expect.head);
      assert.deepEqual(branch(view).map((t) => t.n), expect.branch);
    }
    assert.equal(view.state, expect.state);
    assert.equal(view.cur, expect.cur);
    assert.equal(view.gap, expect.gap);
    assert.equal(view.failure?.code, expect.failure);
    assert.deepEqual(view.result ?? undefined, expect.result);
  });
}
