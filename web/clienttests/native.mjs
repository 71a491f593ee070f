// Our own protocol through other people's transports: the eventsource package,
// which resumes by itself, and ws. The fold is the one of web/client.
import * as reducer from '../client/src/reducer.js';
import { folded, framed } from './folded.mjs';

async function post(base, token, path, body) {
  const res = await fetch(`${base}/api/v2${path}`, {
    method: 'POST', body: JSON.stringify(body), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  if (!res.ok) throw new Error(`${path}: ${res.status} ${await res.text()}`);
}

export async function nativeSSE({ base, token, conversation }, tell) {
  const { EventSource } = await import('eventsource');
  const fold = folded(reducer, conversation, tell);
  let at = base;
  // The URL stays; where it leads is the balancer's business, here ours.
  const source = new EventSource(`${base}/api/v2/conversations/${conversation}/events`, {
    fetch: (url, init) => fetch(String(url).replace(base, at), { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } }),
  });
  source.onmessage = (e) => fold.take(JSON.parse(e.data));
  source.onerror = (e) => tell({ event: 'status', state: 'disconnected', reason: String(e.code ?? '') });
  return {
    send: ({ id, text }) => { fold.want(id); return post(at, token, `/conversations/${conversation}/messages`, { client_id: id, text }); },
    stop: async () => { await post(at, token, `/conversations/${conversation}/runs/${fold.open()}/cancel`, {}); tell({ event: 'stopped', code: 200 }); },
    resume: () => {},
    move: (cmd) => { at = cmd.base; },
  };
}

export async function nativeWS({ base, token, conversation }, tell) {
  const { WebSocket } = await import('ws');
  const fold = folded(reducer, conversation, tell);
  let at = base;
  let socket;
  let n = 0;
  const waiting = [];
  const connect = () => {
    const s = new WebSocket(`${at.replace('http', 'ws')}/api/v2/ws`, ['conv.v1.json']);
    s.on('open', () => s.send(JSON.stringify({ t: 'hello', client: 'clienttests/1', token, resume: [{ c: conversation, cur: fold.cursor() || undefined }] })));
    s.on('message', framed(fold, {
      send: (f) => s.send(JSON.stringify(f)), lost: () => s.terminate(), tell,
      ready: () => { socket = s; for (const frame of waiting.splice(0)) s.send(frame); },
    }));
    s.on('error', () => {});
    s.on('close', () => { socket = undefined; tell({ event: 'status', state: 'disconnected', reason: '' }); setTimeout(connect, 100); });
  };
  const send = (frame) => { const raw = JSON.stringify(frame); if (socket) socket.send(raw); else waiting.push(raw); };
  connect();
  return {
    send: ({ id, text }) => { fold.want(id); send({ t: 'cmd', id: String(++n), op: 'send', c: conversation, key: id, args: { text } }); },
    stop: () => send({ t: 'cmd', id: 'stop', op: 'cancel', c: conversation, args: { run: fold.open() } }),
    resume: () => {},
    move: (cmd) => { at = cmd.base; },
  };
}

// Our own client, which chooses its transport itself.
export async function ownClient({ base, token, conversation }, tell) {
  const { Client } = await import('../client/src/index.js');
  const client = new Client({ baseURL: base, getToken: () => token });
  let wanted = '';
  let told = '';
  client.onStatus((s) => tell({ event: 'status', state: s.state, reason: s.transport }));
  client.connect();
  const talk = client.conversation(conversation);
  talk.subscribe((state) => {
    const asked = state.turns.find((t) => t.text === wanted);
    const reply = asked && state.turns.find((t) => t.author === 'partner' && t.run === asked.run);
    if (state.open?.text) tell({ event: 'text', length: state.open.text.length });
    if (reply && told !== wanted) {
      told = wanted;
      tell({ event: 'ended', status: 'ready', message: '', text: reply.text, id: reply.id, parts: 1, messages: state.turns.length, streaming: false, stopped: reply.finish === 'stopped' });
    }
  });
  return { send: ({ text }) => { wanted = text; talk.send(text); }, stop: () => talk.stop(), resume: () => {}, move: () => {} };
}
