// The AI SDK without React: AbstractChat is what useChat wraps, and
// DefaultChatTransport is what it speaks through.
import { resumingFetch } from '../client/ai-sdk/index.js';

class State {
  status = 'ready';
  error = undefined;
  messages = [];
  constructor(changed) { this.changed = changed; }
  pushMessage = (m) => { this.messages = this.messages.concat(m); this.changed(); };
  popMessage = () => { this.messages = this.messages.slice(0, -1); this.changed(); };
  replaceMessage = (i, m) => { this.messages = this.messages.map((old, at) => (at === i ? m : old)); this.changed(); };
  snapshot = (v) => structuredClone(v);
}

export async function aiChat({ client, base, token, conversation }, tell) {
  // A "+" has our fetch underneath, which goes on after a cut by itself.
  const { AbstractChat, DefaultChatTransport } = await import(client.replace('+', ''));
  let at = base;
  const ask = (path, init) => fetch(at + path, init);
  const transport = new DefaultChatTransport({
    api: '/api/chat',
    headers: { authorization: `Bearer ${token}` },
    fetch: client.endsWith('+') ? resumingFetch({ fetch: ask, tries: 30 }) : ask,
  });
  const answers = () => state.messages.filter((m) => m.role === 'assistant');
  const textOf = (m) => (m?.parts ?? []).filter((p) => p.type === 'text').map((p) => p.text).join('');
  // What version 5.0.0 shows after a resume: it adds a part, and does not replace.
  const tailOf = (m) => (m?.parts ?? []).filter((p) => p.type === 'text').at(-1)?.text ?? '';
  const report = (event) => {
    const last = answers().at(-1);
    tell({
      event, status: state.status, message: state.error?.message ?? '', text: textOf(last), tail: tailOf(last), id: last?.id ?? '',
      parts: (last?.parts ?? []).filter((p) => p.type === 'text').length, messages: state.messages.length,
      // What the message keeps beside its text, for an app to show.
      facts: (last?.parts ?? []).filter((p) => p.type.startsWith('data-') && p.type !== 'data-status').map((p) => `${p.type} ${p.id} ${JSON.stringify(p.data)}`),
      streaming: (last?.parts ?? []).some((p) => p.type === 'text' && p.state === 'streaming'),
    });
  };
  let told = 0;
  const state = new State(() => {
    const now = textOf(answers().at(-1)).length;
    if (now !== told) tell({ event: 'text', length: (told = now) });
  });
  class Chat extends AbstractChat {}
  const chat = new Chat({
    id: conversation, transport, state,
    onData: (part) => {
      if (part.type === 'data-status') tell({ event: 'status', ...part.data });
      else tell({ event: 'fact', id: part.id ?? '', message: part.type, text: JSON.stringify(part.data) });
    },
    onError: () => {},
  });
  const after = async (doing) => { await doing; report('ended'); };
  return {
    send: ({ id, text }) => after(chat.sendMessage({ id, role: 'user', parts: [{ type: 'text', text }] })),
    resume: () => after(chat.resumeStream()),
    // stop() closes the request only; an app asks the server too.
    stop: async () => {
      const res = await fetch(`${at}/api/chat/${conversation}/stop`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
      tell({ event: 'stopped', code: res.status });
    },
    move: (cmd) => { at = cmd.base; },
  };
}
