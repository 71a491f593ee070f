// Messages on their way: kept until acknowledged, repeated with the same id.
import { ClientError } from './fault.js';

const MAX_TRIES = 8;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

/** @typedef {import('../index.d.ts').PendingMessage} PendingMessage */

/**
 * The outbox of one conversation. One message is under way at a time, so that
 * their order is the order of writing.
 */
export class Outbox {
  /**
   * @param {{
   *   key: string, storage: import('../index.d.ts').KeyValueStorage | null,
   *   clock: import('../index.d.ts').Clock,
   *   transmit: (m: PendingMessage) => Promise<any>, changed: () => void,
   * }} o
   */
  constructor(o) {
    /** @private */ this._o = o;
    /** @type {PendingMessage[]} */
    this.items = this._load();
    /** @private @type {PendingMessage | null} */ this._busy = null;
    /** @private @type {unknown} */ this._timer = null;
    /** @private @type {Map<string, number>} */ this._tries = new Map();
  }

  /** @param {PendingMessage} m */
  add(m) {
    this._update([...this.items, m]);
    this.flush();
  }

  /**
   * Sends what is unsent; harmless at any time.
   */
  flush() {
    if (this._busy || this._timer !== null) return;
    const m = this.items.find((x) => x.status !== 'sent');
    // Nothing overtakes a message that failed: the learner decides about it first.
    if (!m || m.status === 'failed') return;
    this._busy = m;
    this._o.transmit(m).then(
      () => this._settled(m, null),
      (err) => this._settled(m, err),
    );
  }

  /**
   * @private
   * @param {PendingMessage} m
   * @param {any} err
   */
  _settled(m, err) {
    this._busy = null;
    if (!this.items.some((x) => x.clientId === m.clientId)) {
      this.flush();
      return;
    }
    if (err === null) {
      this._patch(m.clientId, { status: 'sent', error: null });
      this.flush();
      return;
    }
    const known = err instanceof ClientError;
    if (known && err.code === 'connection_lost') {
      this._wait(FIRST_RETRY_MS); // and at once when the connection is back
      return;
    }
    const tries = (this._tries.get(m.clientId) ?? 0) + 1;
    this._tries.set(m.clientId, tries);
    if (known && err.retryable && tries < MAX_TRIES) {
      this._wait(err.retryMs || Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (tries - 1)));
      return;
    }
    this._patch(m.clientId, { status: 'failed', error: { code: known ? err.code : 'internal', message: err?.message ?? '' } });
  }

  /**
   * @private
   * @param {number} ms
   */
  _wait(ms) {
    this._timer = this._o.clock.setTimeout(() => {
      this._timer = null;
      this.flush();
    }, ms);
  }

  /** The connection is back: what waited for it goes now. */
  wake() {
    this._o.clock.clearTimeout(this._timer);
    this._timer = null;
    this.flush();
  }

  /**
   * The log holds these ids: they have arrived, whatever we know of an answer.
   * @param {(clientId: string) => boolean} arrived
   */
  confirm(arrived) {
    const rest = this.items.filter((m) => !arrived(m.clientId));
    if (rest.length !== this.items.length) this._update(rest);
  }

  /** @param {string} clientId */
  retry(clientId) {
    this._tries.delete(clientId);
    this._patch(clientId, { status: 'sending', error: null });
    this.flush();
  }

  /** @param {string} clientId */
  discard(clientId) {
    this._update(this.items.filter((m) => m.clientId !== clientId || m.status !== 'failed'));
    this.flush();
  }

  /**
   * @private
   * @param {string} clientId
   * @param {Partial<PendingMessage>} patch
   */
  _patch(clientId, patch) {
    this._update(this.items.map((m) => (m.clientId === clientId ? { ...m, ...patch } : m)));
  }

  /**
   * @private
   * @param {PendingMessage[]} items
   */
  _update(items) {
    this.items = items;
    this._save();
    this._o.changed();
  }

  /** @private */
  _save() {
    const { storage, key } = this._o;
    if (!storage) return;
    const keep = this.items.filter((m) => m.status !== 'sent').map(({ clientId, text, policy }) => ({ clientId, text, policy }));
    try {
      if (keep.length === 0) storage.removeItem(key);
      else storage.setItem(key, JSON.stringify(keep));
    } catch {
      // A full or forbidden storage costs only what a reload would have kept.
    }
  }

  /**
   * @private
   * @returns {PendingMessage[]}
   */
  _load() {
    try {
      const kept = JSON.parse(this._o.storage?.getItem(this._o.key) ?? '[]');
      return kept
        .filter((/** @type {any} */ m) => typeof m?.clientId === 'string' && typeof m?.text === 'string')
        .map((/** @type {any} */ m) => ({ clientId: m.clientId, text: m.text, policy: m.policy, status: 'sending', error: null }));
    } catch {
      return [];
    }
  }
}
