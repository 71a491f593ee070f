// A reader of our own protocol that tells what it shows. `fold` is reducer.js
// of web/client; this file imports nothing, so that a page can run it too.
export function folded({ initialView, reduce }, conversation, tell) {
  let view = initialView(conversation);
  let wanted = '';
  let told = '';
  return {
    want: (id) => { wanted = id; },
    cursor: () => view.cur,
    gap: () => view.gap,
    take: (msg) => {
      view = reduce(view, msg);
      const asked = view.turns.find((t) => t.client_id === wanted);
      const reply = asked && view.turns.find((t) => t.author === 'partner' && t.run === asked.run);
      if (view.open?.text) tell({ event: 'text', length: view.open.text.length });
      if (msg.type === 'partner.recovering') tell({ event: 'status', state: 'recovering', reason: msg.data.reason });
      if (reply && told !== wanted) {
        told = wanted;
        tell({ event: 'ended', status: 'ready', message: '', text: reply.text, id: reply.id, parts: 1, messages: view.turns.length, streaming: false, stopped: reply.finish === 'stopped' });
      }
    },
    open: () => view.open?.run,
  };
}

// What both WebSockets, the browsers' and the ws package's, do with frames.
export function framed(fold, { send, lost, tell, ready }) {
  return (raw) => {
    const f = JSON.parse(raw);
    switch (f.t) {
      case 'welcome': ready(); break;
      case 'ev': f.e.forEach(fold.take); if (fold.gap()) lost(); break;
      case 'reset': case 'snapshot': case 'caught_up': fold.take({ ...f, type: f.t }); break;
      case 'ping': send({ t: 'pong', n: f.n }); break;
      case 'res': if (!f.ok) tell({ event: 'failed', message: JSON.stringify(f.err) }); else if (f.id === 'stop') tell({ event: 'stopped', code: 200 }); break;
      case 'err': tell({ event: 'failed', message: JSON.stringify(f) }); break;
    }
  };
}
