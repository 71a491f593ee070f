// Messages on their way: kept until acknowledged, repeated with the same id.
import { ClientError } from './fault.js';

const MAX_TRIES = 8;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

/** @typedef {import('../index.d.ts').PendingMessage} PendingMessage */

/**
 * The outbox of one conversation. One message is under way at a time, so that
 * their order is the order of writing.
 * @param {{
 *   key: string, storage: import('../index.d.ts').KeyValueStorage | null,
 *   clock: import('../index.d.ts').Clock,
 *   transmit: (m: PendingMessage) => Promise<any>, changed: () => void,
 * }} o
 */
export function outbox(o) {
  const { clock, storage, key } = o;
  let items = load(storage, key);
  let busy = false;
  /** @type {unknown} */
  let timer = null;
  /** @type {Map<string, number>} */
  const tries = new Map();

  /** @param {PendingMessage[]} list */
  const update = (list) => {
    items = list;
    const keep = items.filter((m) => m.status !== 'sent').map(({ clientId, text, policy, op, message }) => ({ clientId, text, policy, op, message }));
    try {
      if (keep.length === 0) storage?.removeItem(key);
      else storage?.setItem(key, JSON.stringify(keep));
    } catch {
      // A full or forbidden storage costs only what a reload would have kept.
    }
    o.changed();
  };
  /** @param {string} clientId @param {Partial<PendingMessage>} patch */
  const patch = (clientId, patch) => update(items.map((m) => (m.clientId === clientId ? { ...m, ...patch } : m)));
  /** @param {number} ms */
  const wait = (ms) => {
    timer = clock.setTimeout(wake, ms);
  };
  const wake = () => {
    clock.clearTimeout(timer);
    timer = null;
    flush();
  };
  const flush = () => {
    if (busy || timer !== null) return;
    const m = items.find((x) => x.status !== 'sent');
    // Nothing overtakes a message that failed: the learner decides about it first.
    if (!m || m.status === 'failed') return;
    busy = true;
    o.transmit(m).then(() => settled(m.clientId, null), (err) => settled(m.clientId, err));
  };
  /** @param {string} id @param {any} err */
  const settled = (id, err) => {
    busy = false;
    if (!items.some((x) => x.clientId === id)) return flush();
    // A message is there when the log has it; a wish for another reply is done.
    if (err === null && items.some((x) => x.clientId === id && x.op === 'regenerate')) {
      update(items.filter((x) => x.clientId !== id));
      return flush();
    }
    if (err === null) {
      patch(id, { status: 'sent', error: null });
      return flush();
    }
    const known = err instanceof ClientError;
    if (known && err.code === 'connection_lost') return wait(FIRST_RETRY_MS); // and at once when the connection is back
    const count = (tries.get(id) ?? 0) + 1;
    tries.set(id, count);
    if (known && err.retryable && count < MAX_TRIES) return wait(err.retryMs || Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (count - 1)));
    patch(id, { status: 'failed', error: { code: known ? err.code : 'internal', message: err?.message ?? '' } });
  };

  return {
    items: () => items,
    /** @param {PendingMessage} m */
    add(m) {
      update([...items, m]);
      flush();
    },
    /** Sends what is unsent; harmless at any time. */
    flush,
    /** The connection is back: what waited for it goes now. */
    wake,
    /**
     * The log holds these ids: they have arrived, whatever we know of an answer.
     * @param {(clientId: string) => boolean} arrived
     */
    confirm(arrived) {
      const rest = items.filter((m) => !arrived(m.clientId));
      if (rest.length !== items.length) update(rest);
    },
    /** @param {string} clientId */
    retry(clientId) {
      tries.delete(clientId);
      patch(clientId, { status: 'sending', error: null });
      flush();
    },
    /** @param {string} clientId */
    discard(clientId) {
      update(items.filter((m) => m.clientId !== clientId || m.status !== 'failed'));
      flush();
    },
  };
}

/**
 * @param {import('../index.d.ts').KeyValueStorage | null} storage
 * @param {string} key
 * @returns {PendingMessage[]}
 */
function load(storage, key) {
  try {
    return JSON.parse(storage?.getItem(key) ?? '[]')
      .filter((/** @type {any} */ m) => m?.clientId && (m.text || m.op))
      .map((/** @type {any} */ m) => ({ clientId: m.clientId, text: m.text, policy: m.policy, op: m.op, message: m.message, status: 'sending', error: null }));
  } catch {
    return [];
  }
}
