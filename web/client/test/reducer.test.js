import test from 'node:test';
import assert from 'node:assert/strict';
import { initialView, reduce } from '../src/reducer.js';
import { log } from './fakes.js';

const fold = (msgs, view = initialView('c1')) => msgs.reduce(reduce, view);
const delta = (l, at, text, more) => l.run('partner.delta', { at, text }, 1, more);

test('a whole reply becomes a turn', () => {
  const l = log();
  const v = fold([
    l.ev('conversation.created', { kind: 'chat', title: 'T' }),
    l.ev('message.accepted', { n: 1, id: 'm1', author: 'learner', text: 'hi', client_id: 'k', run: 1, at: 5 }),
    l.run('partner.started', { message_id: 'm2', parent: 1 }),
    delta(l, 0, 'Hel'), delta(l, 3, 'lo'),
    l.run('partner.completed', { message_id: 'm2', text: 'Hello', finish: 'stop', n: 2 }),
  ]);
  assert.equal(v.title, 'T');
  assert.deepEqual(v.turns.map((t) => [t.n, t.author, t.text]), [[1, 'learner', 'hi'], [2, 'partner', 'Hello']]);
  assert.equal(v.open, null);
  assert.equal(v.last, 6);
  assert.equal(v.cur, '1.aa.6');
});

test('the argument is never changed', () => {
  const l = log();
  const a = fold([l.run('partner.started', { message_id: 'm' })]);
  const copy = structuredClone(a);
  reduce(a, delta(l, 0, 'x'));
  assert.deepEqual(a, copy);
});

test('what was seen is dropped, an overlap is cut, a hole is a gap', () => {
  const l = log();
  const v = fold([l.run('partner.started', { message_id: 'm' }), delta(l, 0, 'abc'), delta(l, 3, 'de')]);
  assert.equal(reduce(v, { ...delta(log(), 0, 'zzz'), seq: 2 }), v);
  const merged = { v: 1, from: 2, seq: 5, cur: '1.aa.5', type: 'partner.delta', run: 1, attempt: 1, base: 1, data: { at: 0, text: 'abcdefgh' } };
  const w = reduce(v, merged);
  assert.equal(w.open.text, 'abcdefgh');
  assert.equal(w.last, 5);
  const hole = reduce(v, { ...merged, from: 5, seq: 5 });
  assert.equal(hole.gap, true);
  assert.equal(hole.open.text, 'abcde');
  assert.equal(hole.cur, v.cur);
  const early = reduce(v, { ...merged, from: 4, seq: 4, data: { at: 9, text: 'x' } });
  assert.equal(early.gap, true, 'at beyond the text is a gap');
  assert.equal(early.last, v.last);
});

test('positions count UTF-16 units', () => {
  const l = log();
  const v = fold([l.run('partner.started', {}), delta(l, 0, 'a😀'), delta(l, 3, 'b')]);
  assert.equal(v.open.text, 'a😀b');
});

test('bases: higher replaces, lower is ignored, the same never shortens', () => {
  const l = log();
  let v = fold([l.run('partner.started', {}), delta(l, 0, 'old text')]);
  v = reduce(v, l.run('partner.restarted', {}, 1, { attempt: 2, base: 2 }));
  assert.equal(v.open.text, '');
  v = reduce(v, delta(l, 0, 'new', { attempt: 2, base: 2 }));
  v = reduce(v, delta(l, 8, ' ghost'));
  assert.equal(v.open.text, 'new');
  assert.equal(v.last, 5, 'an ignored event still counts');
  v = reduce(v, delta(l, 0, 'ne', { attempt: 2, base: 2 }));
  assert.equal(v.open.text, 'new');
  assert.equal(v.open.attempt, 2);
});

test('takeover: recovering and resumed leave the text alone', () => {
  const l = log();
  let v = fold([l.run('partner.started', {}), delta(l, 0, 'abc'), l.run('partner.recovering', { reason: 'node_dead', attempt: 2 }, 1, { attempt: 2 })]);
  assert.equal(v.open.recovering, true);
  assert.equal(v.open.text, 'abc');
  v = fold([l.run('partner.resumed', { keep: 3 }, 1, { attempt: 2 }), delta(l, 3, 'd', { attempt: 2 })], v);
  assert.equal(v.open.recovering, false);
  assert.equal(v.open.text, 'abcd');
});

test('after a stop mark the text does not grow past it', () => {
  const l = log();
  const v = fold([l.run('partner.started', {}), delta(l, 0, 'abcd'), l.run('partner.stopping', { by: 'learner', at: 6 }), delta(l, 4, 'efgh')]);
  assert.equal(v.open.text, 'abcdef');
  assert.equal(v.open.stopping, true);
});

test('after the terminal event everything else of the run is ignored', () => {
  for (const end of ['completed', 'stopped', 'failed']) {
    const l = log();
    let v = fold([l.run('partner.started', {}), delta(l, 0, 'ab'), l.run(`partner.${end}`, { message_id: 'm', text: 'ab', n: 1, code: 'upstream_timeout', message: 'late', retryable: true })]);
    assert.equal(v.open, null, end);
    assert.equal(v.failure === null, end !== 'failed');
    v = fold([delta(l, 2, 'cd'), l.run('partner.completed', { message_id: 'm', text: 'other', n: 1 })], v);
    assert.equal(v.open, null);
    assert.equal(v.turns[0].text, 'ab');
    assert.equal(v.gap, false);
    // The next run is a new one.
    v = fold([l.run('partner.started', {}, 2), l.run('partner.delta', { at: 0, text: 'x' }, 2)], v);
    assert.equal(v.open.text, 'x');
    assert.equal(v.failure, null);
  }
});

test('snapshot replaces, but the same run and base never shortens', () => {
  const l = log();
  const v = fold([l.ev('message.accepted', { n: 1, id: 'a', author: 'learner', text: 'q', at: 1 }), l.run('partner.started', {}), delta(l, 0, 'abcdef')]);
  const snap = (open, cur = '1.aa.2') => ({ type: 'snapshot', cur, state: { conversation: { id: 'c1', kind: 'chat', title: 'N', state: 'active', created_at: 9 }, turns: [], open } });
  let w = reduce(v, snap({ run: 1, message_id: 'm', attempt: 1, base: 1, text: 'abc' }));
  assert.equal(w.open.text, 'abcdef');
  assert.deepEqual(w.turns, []);
  assert.equal(w.last, 2);
  w = fold([{ ...delta(log(), 3, 'de'), seq: 3 }], w);
  assert.equal(w.open.text, 'abcdef');
  w = reduce(v, snap({ run: 1, message_id: 'm', attempt: 2, base: 2, text: 'abc' }));
  assert.equal(w.open.text, 'abc');
  w = reduce(v, snap(null));
  assert.equal(w.open, null);
});

test('between reset and snapshot events say nothing', () => {
  const l = log();
  let v = fold([l.run('partner.started', {}), delta(l, 0, 'ab')]);
  v = reduce(v, { type: 'reset', reason: 'epoch_changed' });
  assert.equal(v.open.text, 'ab', 'what is shown stays');
  assert.equal(reduce(v, { ...delta(log(), 0, 'zz'), seq: 900 }), v);
  v = reduce(v, { type: 'snapshot', cur: '2.bb.4', state: { conversation: { id: 'c1', state: 'active' }, turns: [], open: null } });
  assert.equal(v.last, 4);
  assert.equal(v.awaitingSnapshot, false);
});

test('unknown types are ignored and counted', () => {
  const l = log();
  const v = fold([l.ev('partner.feeling', { mood: 'good' }), l.ev('scenario.ready', { scenario: { title: 'S' } }), l.ev('conversation.ended', { reason: 'x' })]);
  assert.equal(v.last, 3);
  assert.equal(v.result.title, 'S');
  assert.equal(v.state, 'ended');
});

test('any split and any repetition of a log folds to the same text', () => {
  const text = 'The quick brown fox — jumps over 😀 the lazy dog.';
  const l = log();
  const events = [l.run('partner.started', { message_id: 'm' })];
  for (let i = 0; i < text.length; i += 3) events.push(delta(l, i, text.slice(i, i + 3)));
  for (let i = 0; i < events.length; i++) {
    const again = fold([...events.slice(0, i + 1), ...events.slice(Math.max(0, i - 4))]);
    assert.equal(again.open.text, text, `cut after ${i}`);
    assert.equal(again.gap, false);
  }
});
