// One conversation as its reader sees it: the folded log and what is still on
// its way.
import { initialView, reduce } from './reducer.js';
import { outbox } from './outbox.js';

/** @typedef {import('../index.d.ts').ConversationState} ConversationState */
/** @typedef {ReturnType<typeof talk>} Talk */

/**
 * Made by Client.conversation: `open` is what a caller gets, the rest is for
 * the client.
 * @param {string} id
 * @param {{
 *   connection: import('./connection.js').Connection, clock: import('../index.d.ts').Clock,
 *   storage: import('../index.d.ts').KeyValueStorage | null, newId: () => string,
 * }} o
 */
export function talk(id, o) {
  const { connection } = o;
  let view = initialView(id);
  /** @type {Set<(s: ConversationState) => void>} */
  const listeners = new Set();
  /** @type {ConversationState | null} */
  let shown = null;
  /** @type {import('../index.d.ts').Problem | null} */
  let problem = null;
  let stopRun = 0;
  let stopping = false;
  /** A gap that a resume did not close. */
  let gapAt = -1;

  const state = () => {
    shown ??= { ...view, pending: box.items(), stopRequested: stopRun, problem };
    return shown;
  };
  const changed = () => {
    shown = null;
    for (const l of [...listeners]) l(state());
  };
  const box = outbox({
    key: `fluentpro.outbox.${id}`, storage: o.storage, clock: o.clock,
    transmit: (m) => connection.command({ op: m.op ?? 'send', c: id, key: m.clientId, args: { text: m.text || undefined, message: m.message, policy: m.policy } }),
    changed,
  });

  const sendStop = () => {
    const run = stopRun;
    if (run === 0 || stopping) return;
    stopping = true;
    connection.command({ op: 'cancel', c: id, args: { run } }).catch((err) => {
      // A lost connection repeats it on return; anything else gives the button back.
      if (err?.code !== 'connection_lost' && stopRun === run) {
        stopRun = 0;
        changed();
      }
    }).finally(() => {
      stopping = false;
    });
  };
  /**
   * A new reading begins. A reset whose snapshot never came belonged to the one
   * before; the cursor is judged afresh, by whoever reads it now.
   */
  const attached = () => {
    if (view.awaitingSnapshot) view = { ...view, awaitingSnapshot: false };
  };
  /** @param {number} last */
  const resume = (last) => {
    // The same hole twice: the log cannot fill it, a snapshot can.
    const cur = gapAt === last ? '' : view.cur;
    gapAt = last;
    connection.subscribe(id, cur);
    if (cur === '') view = { ...view, awaitingSnapshot: true };
  };

  return {
    attached,
    /** @param {any[]} msgs */
    receive(msgs) {
      const before = view;
      for (const m of msgs) {
        view = reduce(view, m);
        if (view.gap) break;
      }
      if (view.gap) resume(view.last ?? 0);
      else if (view.last !== before.last) gapAt = -1;
      if (view === before) return;
      if (view.loaded) problem = null;
      if (view.open?.run !== stopRun) stopRun = 0;
      if (view.turns !== before.turns) {
        const ids = new Set(view.turns.map((t) => t.client_id));
        box.confirm((x) => ids.has(x));
      }
      changed();
    },
    /** @param {import('./fault.js').ClientError} err */
    fail(err) {
      problem = { code: err.code, message: err.message, retryable: err.retryable };
      changed();
    },
    online() {
      box.wake();
      sendStop();
    },
    /** @type {import('../index.d.ts').Conversation} */
    open: {
      id,
      get state() {
        return state();
      },
      get active() {
        return listeners.size > 0;
      },
      get cursor() {
        return view.cur;
      },
      subscribe(listener) {
        listeners.add(listener);
        if (listeners.size === 1) {
          attached();
          connection.subscribe(id, view.cur);
        }
        box.flush();
        listener(state());
        return () => {
          if (listeners.delete(listener) && listeners.size === 0) connection.unsubscribe(id);
        };
      },
      send(text, { clientId = o.newId(), policy } = {}) {
        box.add({ clientId, text, policy, status: 'sending', error: null });
        return clientId;
      },
      edit(message, text, { clientId = o.newId(), policy } = {}) {
        box.add({ clientId, text, policy, op: 'edit', message, status: 'sending', error: null });
        return clientId;
      },
      regenerate(message, { clientId = o.newId(), policy } = {}) {
        box.add({ clientId, text: '', policy, op: 'regenerate', message, status: 'sending', error: null });
        return clientId;
      },
      async select(run, { policy } = {}) {
        await connection.command({ op: 'select', c: id, args: { run, policy } });
      },
      retry: box.retry,
      discard: box.discard,
      stop() {
        const run = view.open?.run ?? 0;
        if (run === 0) return;
        stopRun = run;
        changed();
        sendStop();
      },
    },
  };
}
