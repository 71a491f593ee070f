// Which of the turns are shown: those of the branch whose tip is the head.

/** @typedef {import('../index.d.ts').Turn} Turn */

/**
 * The turns of the branch that is shown, in the order of the talk: each
 * message of the learner's followed by its reply, as far back as they are kept.
 * @param {Pick<import('../index.d.ts').View, 'turns' | 'head'>} view
 * @returns {Turn[]}
 */
export function branch({ turns, head }) {
  /** @type {Map<number, Turn>} */
  const asked = new Map();
  /** @type {Map<number, Turn>} */
  const replies = new Map();
  for (const t of turns) {
    if (t.author === 'learner') asked.set(t.n, t);
    else replies.set(t.run ?? 0, t);
  }
  const out = [];
  let { run, turn } = head;
  for (;;) {
    const reply = replies.get(run);
    if (reply) out.push(reply);
    const t = asked.get(turn);
    if (!t || (t.parent ?? 0) >= t.n) return out.reverse();
    out.push(t);
    run = t.after ?? 0;
    turn = t.parent ?? 0;
  }
}

/**
 * The tips to choose from at a turn of the branch shown: other versions of a
 * message, or other replies to it. Each is the newest run that goes on from
 * its version; the one shown is among them.
 * @param {Pick<import('../index.d.ts').View, 'turns' | 'head'>} view
 * @param {Turn} turn
 * @returns {{ tips: number[], at: number }}
 */
export function versions({ turns, head }, turn) {
  const same = turns.filter((t) => t.author === turn.author && t.parent === turn.parent && (turn.author === 'partner' || (t.after ?? 0) === (turn.after ?? 0)));
  const tips = same.map((t) => newest(turns, t));
  const at = same.findIndex((t) => t.n === turn.n);
  if (at >= 0) tips[at] = head.run;
  return { tips, at };
}

/**
 * The newest run of all that goes on from a turn.
 * @param {Turn[]} turns
 * @param {Turn} from
 */
function newest(turns, from) {
  const runs = new Set([from.run ?? 0]);
  const asked = new Set(from.author === 'learner' ? [from.n] : []);
  for (const t of turns) {
    if (t.author === 'partner' ? asked.has(t.parent ?? 0) : runs.has(t.after ?? 0)) {
      if (t.author === 'learner') asked.add(t.n);
      runs.add(t.run ?? 0);
    }
  }
  return Math.max(...runs);
}
