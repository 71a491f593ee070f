// The pure fold of a conversation's log into what a reader sees. Every rule
// here is a sentence of docs/protocol.md; no rule needs a clock or a socket.
import { runVerb, seqOf } from './protocol.js';

/** @typedef {import('../index.d.ts').View} View */
/** @typedef {import('../index.d.ts').OpenReply} OpenReply */
/** @typedef {import('../index.d.ts').Turn} Turn */
/** @typedef {import('../index.d.ts').LogMessage} LogMessage */

/**
 * The view before anything was received.
 * @param {string} id
 * @returns {View}
 */
export function initialView(id) {
  return {
    id, kind: '', title: '', state: 'active', createdAt: 0,
    turns: [], head: { run: 0, turn: 0 }, open: null, result: null, failure: null,
    last: null, cur: '', ended: 0, over: [], loaded: false, caughtUp: false, awaitingSnapshot: false, gap: false,
  };
}

/**
 * Folds one event or control message. The argument is never changed; the same
 * object comes back when nothing changed. A result with `gap` set asks the
 * caller to resume from `cur`.
 * @param {View} view
 * @param {LogMessage} msg
 * @returns {View}
 */
export function reduce(view, msg) {
  switch (msg.type) {
    case 'snapshot':
      return fromSnapshot(view, msg);
    case 'reset':
      return { ...view, awaitingSnapshot: true, caughtUp: false, gap: false };
    case 'caught_up':
      return { ...view, caughtUp: true, cur: view.cur || msg.cur || '' };
    case 'goaway':
    case 'error':
      return view;
  }
  if (typeof msg.seq !== 'number' || view.awaitingSnapshot) return view;
  const seq = msg.seq;
  const from = msg.from ?? seq;
  if (view.last !== null) {
    if (seq <= view.last) return view;
    if (from > view.last + 1) return { ...view, gap: true };
  }
  const next = apply(view, msg);
  if (next === null) return { ...view, gap: true };
  return { ...next, last: seq, cur: msg.cur ?? next.cur, loaded: true, gap: false };
}

/**
 * @param {View} view
 * @param {LogMessage} e
 * @returns {View | null} null when text is missing
 */
function apply(view, e) {
  const d = e.data ?? {};
  switch (e.type) {
    case 'conversation.created':
      return { ...view, kind: d.kind, title: d.title, createdAt: e.ts ?? 0 };
    case 'conversation.ended':
      return { ...view, state: 'ended' };
    case 'message.accepted':
      return { ...view, turns: withTurn(view.turns, linked({ author: 'learner', ...d }, view.turns)), head: { run: d.run, turn: d.n } };
    case 'branch.chosen':
      return { ...view, head: { run: d.run, turn: d.turn } };
    case 'scenario.ready':
      return { ...view, result: d.scenario ?? d };
  }
  const verb = runVerb(e.type);
  if (verb === '' || typeof e.run !== 'number' || view.over.includes(e.run)) return view;
  return applyRun(view, e, verb, d);
}

/**
 * @param {View} view
 * @param {LogMessage} e
 * @param {string} verb
 * @param {Record<string, any>} d
 * @returns {View | null}
 */
function applyRun(view, e, verb, d) {
  const run = /** @type {number} */ (e.run);
  switch (verb) {
    case 'completed':
    case 'stopped':
    case 'failed':
      return close(view, e, run, verb, d);
  }
  const base = e.base ?? 1;
  const attempt = e.attempt ?? 1;
  let open = view.open;
  if (open === null || open.run !== run) {
    open = openOf({ run, message_id: d.message_id, attempt, base });
  } else if (base < open.base) {
    return view; // of a text that was given up
  } else if (base > open.base) {
    open = { ...open, base, attempt, text: '', recovering: false };
  }
  if (attempt > open.attempt) open = { ...open, attempt };
  switch (verb) {
    case 'started':
      open = { ...open, messageId: d.message_id ?? open.messageId };
      break;
    case 'delta': {
      const text = splice(open, d);
      if (text === null) return null;
      open = { ...open, text, recovering: false };
      break;
    }
    case 'recovering':
      open = { ...open, recovering: true };
      break;
    case 'resumed':
    case 'restarted':
      open = { ...open, recovering: false };
      break;
    case 'stopping':
      // What is shown stays; only growth beyond the mark ends. The terminal
      // event brings the exact text.
      open = { ...open, stopping: true, limit: typeof d.at === 'number' ? d.at : open.limit };
      break;
  }
  return { ...view, open, failure: null };
}

/**
 * The text after a delta, or null when something before `at` is missing.
 * @param {OpenReply} open
 * @param {Record<string, any>} d
 * @returns {string | null}
 */
function splice(open, d) {
  const at = d.at ?? 0;
  const text = d.text ?? '';
  if (at > open.text.length) return null;
  let joined = open.text + text.slice(open.text.length - at);
  if (open.limit !== null && joined.length > open.limit) {
    joined = joined.slice(0, Math.max(open.limit, open.text.length));
  }
  return joined;
}

/**
 * @param {View} view
 * @param {LogMessage} e
 * @param {number} run
 * @param {string} verb
 * @param {Record<string, any>} d
 * @returns {View}
 */
function close(view, e, run, verb, d) {
  const open = view.open && view.open.run === run ? null : view.open;
  let { turns, head } = view;
  if (typeof d.n === 'number' && d.n > 0) {
    if (head.run === 0) head = { run, turn: 0 }; // an opening
    turns = withTurn(turns, linked({
      n: d.n, id: d.message_id ?? '', author: 'partner', text: d.text ?? '', run,
      finish: verb === 'completed' ? (d.finish ?? 'stop') : verb, at: e.ts ?? 0, parent: d.parent,
    }, turns));
  }
  const failure = verb === 'failed' ? failureOf({ ...d, run }) : null;
  return { ...view, turns, head, open, failure, ended: Math.max(view.ended, run), over: [...view.over.slice(-20), run] };
}

/**
 * @param {any} o
 * @returns {OpenReply}
 */
function openOf(o) {
  return {
    run: o.run, messageId: o.message_id ?? '', attempt: o.attempt ?? 1, base: o.base ?? 1, text: o.text ?? '',
    stopping: o.stopping === true, limit: null, recovering: false,
  };
}

/**
 * @param {any} f
 * @returns {import('../index.d.ts').RunFailure}
 */
function failureOf(f) {
  return {
    run: f.run ?? 0, messageId: f.message_id ?? '', code: f.code ?? 'internal', message: f.message ?? '',
    retryable: f.retryable === true, text: f.text ?? '',
  };
}

/**
 * Turns with one more, in the order of `n`, each number once.
 * @param {Turn[]} turns
 * @param {any} turn
 * @returns {Turn[]}
 */
function withTurn(turns, turn) {
  const rest = turns.filter((t) => t.n !== turn.n);
  rest.push(turn);
  return rest.sort((a, b) => a.n - b.n);
}

/**
 * A turn with its links; one of a server without branches follows the others.
 * @param {any} t
 * @param {Turn[]} before
 */
function linked(t, before) {
  if (t.parent !== undefined) return t;
  const mine = t.author === 'learner';
  const parent = before.findLast((b) => b.author === 'learner' && (mine || b.run === t.run))?.n ?? 0;
  return mine ? { ...t, parent, after: Math.max(0, (t.run ?? 0) - 1) } : { ...t, parent };
}

/**
 * @param {View} view
 * @param {LogMessage} msg
 * @returns {View}
 */
function fromSnapshot(view, msg) {
  // Without a cursor it is SQL's picture, without the open text: for those who
  // have nothing, not for those who would lose something.
  if (!msg.cur && view.loaded) return view;
  const s = msg.state ?? {};
  const c = s.conversation ?? {};
  /** @type {Turn[]} */
  const turns = [];
  for (const t of (s.turns ?? []).slice().sort((/** @type {Turn} */ a, /** @type {Turn} */ b) => a.n - b.n)) turns.push(linked(t, turns));
  const over = turns.flatMap((t) => (t.author === 'partner' ? [t.run ?? 0] : []));
  const f = s.failure ?? null;
  if (f?.run) over.push(f.run);
  const asked = turns.findLast((t) => t.author === 'learner');
  /** @type {OpenReply | null} */
  let open = null;
  if (s.open) {
    open = openOf(s.open);
    const had = view.open;
    if (had && had.run === open.run && had.base === open.base && had.text.length > open.text.length) {
      open.text = had.text;
    }
  }
  return {
    ...view,
    kind: c.kind ?? view.kind, title: c.title ?? view.title, state: c.state ?? 'active', createdAt: c.created_at ?? view.createdAt,
    turns, head: s.head ?? { run: asked?.run ?? turns.at(-1)?.run ?? 0, turn: asked?.n ?? 0 }, open, result: s.result?.scenario ?? s.result ?? null,
    failure: f && failureOf(f),
    last: seqOf(msg.cur), cur: msg.cur ?? '', ended: Math.max(0, ...over), over: over.slice(-20), loaded: true, awaitingSnapshot: false, gap: false,
  };
}
