// One conversation as its reader sees it: the folded log and what is still on
// its way.
import { initialView, reduce } from './reducer.js';
import { Outbox } from './outbox.js';

/** @typedef {import('../index.d.ts').ConversationState} ConversationState */

/** Made by Client.conversation. */
export class Conversation {
  /**
   * @param {string} id
   * @param {{
   *   connection: import('./connection.js').Connection, clock: import('../index.d.ts').Clock,
   *   storage: import('../index.d.ts').KeyValueStorage | null, newId: () => string,
   * }} o
   */
  constructor(id, o) {
    this.id = id;
    /** @private */ this._o = o;
    /** @private */ this._view = initialView(id);
    /** @private @type {Set<(s: ConversationState) => void>} */ this._listeners = new Set();
    /** @private @type {ConversationState | null} */ this._state = null;
    /** @private @type {import('../index.d.ts').Problem | null} */ this._problem = null;
    /** @private */ this._stopRun = 0;
    /** @private */ this._stopping = false;
    /** A gap that a resume did not close. @private */ this._gapAt = -1;
    /** @private */ this._outbox = new Outbox({
      key: `fluentpro.outbox.${id}`, storage: o.storage, clock: o.clock,
      transmit: (m) => {
        /** @type {Record<string, string>} */
        const args = { text: m.text };
        if (m.policy) args.policy = m.policy;
        return o.connection.command({ op: 'send', c: id, key: m.clientId, args });
      },
      changed: () => this._changed(),
    });
  }

  /** What is to be shown now; a new object after each change. */
  get state() {
    this._state ??= { ...this._view, pending: this._outbox.items, stopRequested: this._stopRun, problem: this._problem };
    return this._state;
  }

  /** Whether somebody listens; only then is the log read. */
  get active() {
    return this._listeners.size > 0;
  }

  /** The cursor to resume from. */
  get cursor() {
    return this._view.awaitingSnapshot ? '' : this._view.cur;
  }

  /**
   * Listens; the first listener subscribes, the last one to go unsubscribes.
   * @param {(s: ConversationState) => void} listener
   * @returns {() => void}
   */
  subscribe(listener) {
    this._listeners.add(listener);
    if (this._listeners.size === 1) this._o.connection.subscribe(this.id, this.cursor);
    this._outbox.flush();
    listener(this.state);
    return () => {
      if (!this._listeners.delete(listener) || this._listeners.size > 0) return;
      this._o.connection.unsubscribe(this.id);
    };
  }

  /**
   * Sends a message, now or when the connection is back; returns its id.
   * @param {string} text
   * @param {{ clientId?: string, policy?: 'enqueue' | 'reject' | 'interrupt' }} [o]
   * @returns {string}
   */
  send(text, o = {}) {
    const clientId = o.clientId ?? this._o.newId();
    this._outbox.add({ clientId, text, policy: o.policy, status: 'sending', error: null });
    return clientId;
  }

  /** Tries a failed message again, with its own id. @param {string} clientId */
  retry(clientId) {
    this._outbox.retry(clientId);
  }

  /** Takes back a message that failed. @param {string} clientId */
  discard(clientId) {
    this._outbox.discard(clientId);
  }

  /** Stops the reply that is being written; harmless when there is none. */
  stop() {
    const run = this._view.open?.run ?? 0;
    if (run === 0) return;
    this._stopRun = run;
    this._changed();
    this._sendStop();
  }

  /** @private */
  _sendStop() {
    const run = this._stopRun;
    if (run === 0 || this._stopping) return;
    this._stopping = true;
    this._o.connection.command({ op: 'cancel', c: this.id, args: { run } }).then(
      () => { this._stopping = false; },
      (err) => {
        this._stopping = false;
        // A lost connection repeats it on return; anything else gives the button back.
        if (err?.code !== 'connection_lost' && this._stopRun === run) {
          this._stopRun = 0;
          this._changed();
        }
      },
    );
  }

  /**
   * @internal
   * @param {any[]} msgs
   */
  _receive(msgs) {
    const before = this._view;
    let view = before;
    for (const m of msgs) {
      view = reduce(view, m);
      if (view.gap) break;
    }
    this._view = view;
    if (view.gap) this._resume(view.last ?? 0);
    else if (view.last !== before.last) this._gapAt = -1;
    if (view === before) return;
    if (view.loaded) this._problem = null;
    if (this._stopRun !== 0 && view.open?.run !== this._stopRun) this._stopRun = 0;
    if (view.turns !== before.turns && this._outbox.items.length > 0) {
      const ids = new Set(view.turns.map((t) => t.client_id));
      this._outbox.confirm((id) => ids.has(id));
    }
    this._changed();
  }

  /**
   * @private
   * @param {number} last
   */
  _resume(last) {
    // The same hole twice: the log cannot fill it, a snapshot can.
    const cur = this._gapAt === last ? '' : this._view.cur;
    this._gapAt = last;
    if (cur === '') this._view = { ...this._view, awaitingSnapshot: true };
    this._o.connection.subscribe(this.id, cur);
  }

  /**
   * @internal
   * @param {import('./fault.js').ClientError} err
   */
  _fail(err) {
    this._problem = { code: err.code, message: err.message, retryable: err.retryable };
    this._changed();
  }

  /** @internal */
  _online() {
    this._outbox.wake();
    this._sendStop();
  }

  /** @private */
  _changed() {
    this._state = null;
    if (this._listeners.size === 0) return;
    const s = this.state;
    for (const l of [...this._listeners]) l(s);
  }
}
