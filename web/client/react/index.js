// React: a conversation in the shape of the AI SDK's useChat. Nothing here
// keeps state of its own; the client does, so several components may look at
// one conversation, and nothing is lost when one goes.
import { branch } from '../src/branch.js';
import { useCallback, useMemo, useSyncExternalStore } from 'react';

/** @typedef {import('./index.d.ts').ChatMessage} ChatMessage */
/** @typedef {import('./index.d.ts').ChatHelpers} ChatHelpers */
/** @typedef {import('../index.d.ts').ConversationState} ConversationState */

/**
 * The connection as it is now.
 * @param {import('../index.d.ts').Client} client
 */
export function useConnection(client) {
  const subscribe = useCallback((/** @type {() => void} */ changed) => client.onStatus(changed), [client]);
  const get = () => client.status;
  return useSyncExternalStore(subscribe, get, get);
}

/**
 * A conversation, read while the component is there.
 * @param {import('./index.d.ts').ChatOptions} o
 * @returns {import('./index.d.ts').ChatHelpers}
 */
export function useChat({ client, id, policy }) {
  const conversation = client.conversation(id);
  const subscribe = useCallback((/** @type {() => void} */ changed) => conversation.subscribe(changed), [conversation]);
  const get = () => conversation.state;
  const state = useSyncExternalStore(subscribe, get, get);
  const connection = useConnection(client);
  const { turns, head, open, pending, failure, problem } = state;
  const messages = useMemo(() => messagesOf(branch({ turns, head }), open, pending), [turns, head, open, pending]);
  const failed = pending.find((m) => m.status === 'failed')?.error ?? failure ?? problem;
  const error = useMemo(() => (failed ? Object.assign(new Error(failed.message || failed.code), { code: failed.code }) : undefined), [failed]);
  const actions = useMemo(() => ({
    /** @type {import('./index.d.ts').ChatHelpers['sendMessage']} */
    sendMessage: async (message, how = {}) => conversation.send(textOf(message), { policy, ...how }),
    stop: async () => conversation.stop(),
    /** @type {ChatHelpers['editMessage']} */
    editMessage: async (id, text, how = {}) => conversation.edit(id, text, { policy, ...how }),
    /** @type {ChatHelpers['regenerate']} */
    regenerate: async ({ messageId, ...how } = {}) => {
      const last = branch(conversation.state).at(-1);
      const about = messageId ?? last?.id;
      if (about) conversation.regenerate(about, { policy, ...how });
    },
    retry: conversation.retry,
    discard: conversation.discard,
  }), [conversation, policy]);
  return { id, messages, status: error ? 'error' : statusOf(state), error, connection, conversation: state, ...actions };
}

/** @param {Parameters<import('./index.d.ts').ChatHelpers['sendMessage']>[0]} message */
function textOf(message) {
  if (typeof message === 'string') return message;
  if (typeof message.text === 'string') return message.text;
  return (message.parts ?? []).flatMap((p) => (p.type === 'text' ? [p.text ?? ''] : [])).join('\n');
}

/** @param {ConversationState} s */
function statusOf({ head, open, pending, ended }) {
  if (open?.text) return 'streaming';
  const waits = pending.length > 0 || head.run > ended;
  return open || waits ? 'submitted' : 'ready';
}

/** A message for each turn, the same as long as the turn is. @type {WeakMap<object, ChatMessage>} */
const made = new WeakMap();

/**
 * @template {object} T
 * @param {T} from
 * @param {(from: T) => ChatMessage} make
 */
function once(from, make) {
  const m = made.get(from) ?? make(from);
  made.set(from, m);
  return m;
}

/**
 * @param {ConversationState['turns']} turns
 * @param {ConversationState['open']} open
 * @param {ConversationState['pending']} pending
 * @returns {ChatMessage[]}
 */
function messagesOf(turns, open, pending) {
  const out = turns.map((t) => once(t, () => ({
    // The id that a message was sent with, so that it stays the same item of a list.
    id: t.client_id || t.id,
    role: t.author === 'learner' ? 'user' : 'assistant',
    parts: [{ type: 'text', text: t.text, state: 'done' }],
    metadata: { createdAt: t.at, run: t.run, finish: t.finish },
  })));
  if (open?.text) {
    out.push(once(open, () => ({
      id: open.messageId, role: 'assistant',
      parts: [{ type: 'text', text: open.text, state: 'streaming' }],
      metadata: { run: open.run, recovering: open.recovering, stopping: open.stopping },
    })));
  }
  for (const m of pending) {
    if (m.op === 'regenerate') continue;
    out.push(once(m, () => ({
      id: m.clientId, role: 'user',
      parts: [{ type: 'text', text: m.text, state: 'done' }],
      metadata: { delivery: m.status, error: m.error ?? undefined },
    })));
  }
  return out;
}
