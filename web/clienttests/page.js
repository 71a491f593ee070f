// Chromium's own EventSource and WebSocket, in a page of the server, signed in
// by the cookie. clients_chromium_test.go evaluates this behind folded.mjs and
// calls drive(); what happens goes to the console as JSON lines.
globalThis.drive = (() => {
  const modules = import('/assets/0/client/src/reducer.js');
  const clients = new Map();
  const api = (conversation) => `/api/v2/conversations/${conversation}`;
  const post = async (path, body) => {
    const res = await fetch(path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
    if (!res.ok) throw new Error(`${path}: ${res.status} ${await res.text()}`);
  };

  const eventSource = (fold, conversation, tell) => {
    const source = new EventSource(`${api(conversation)}/events`);
    source.onmessage = (e) => {
      fold.take(JSON.parse(e.data));
      if (fold.gap()) tell({ event: 'failed', message: 'a gap' });
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) tell({ event: 'failed', message: 'EventSource gave up' });
      else tell({ event: 'status', state: 'disconnected' });
    };
    return {
      send: ({ id, text }) => { fold.want(id); return post(`${api(conversation)}/messages`, { client_id: id, text }); },
      stop: async () => { await post(`${api(conversation)}/runs/${fold.open()}/cancel`, {}); tell({ event: 'stopped', code: 200 }); },
    };
  };

  const webSocket = (fold, conversation, tell) => {
    let socket;
    const waiting = [];
    const connect = () => {
      const s = new WebSocket(`ws://${location.host}/api/v2/ws`, 'conv.v1.json');
      const write = (frame) => s.send(JSON.stringify(frame));
      s.onopen = () => write({ t: 'hello', client: 'chromium/1', resume: [{ c: conversation, cur: fold.cursor() || undefined }] });
      const frame = framed(fold, { send: write, lost: () => s.close(), tell, ready: () => { socket = s; for (const f of waiting.splice(0)) write(f); } });
      s.onmessage = (e) => frame(e.data);
      s.onclose = () => { socket = undefined; tell({ event: 'status', state: 'disconnected' }); setTimeout(connect, 100); };
    };
    connect();
    const send = (frame) => { if (socket) socket.send(JSON.stringify(frame)); else waiting.push(frame); };
    return {
      send: ({ id, text }) => { fold.want(id); send({ t: 'cmd', id: `send-${id}`, op: 'send', c: conversation, key: id, args: { text } }); },
      stop: () => send({ t: 'cmd', id: 'stop', op: 'cancel', c: conversation, args: { run: fold.open() } }),
    };
  };

  return async (cmd) => {
    const tell = (event) => console.log(JSON.stringify({ name: cmd.name, ...event }));
    try {
      if (cmd.do === 'open') {
        const make = { 'chromium-eventsource': eventSource, 'chromium-websocket': webSocket }[cmd.client];
        clients.set(cmd.name, make(folded(await modules, cmd.conversation, tell), cmd.conversation, tell));
        tell({ event: 'opened' });
      } else await clients.get(cmd.name)[cmd.do]?.(cmd);
    } catch (e) {
      tell({ event: 'failed', message: `${cmd.do}: ${e?.stack ?? e}` });
    }
  };
})();
