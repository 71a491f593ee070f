// A whole client of docs/protocol.md over WebSocket, written from that page
// alone: it reads one conversation, sends exactly once, stops, and resumes on
// whatever node answers. Nothing is imported. The tests drive it as they drive
// other people's clients (clients_test.go).
export class MinimalClient {
  turns = new Map(); // n → turn
  open = null; // the reply that is being written
  last = 0; // seq of what was applied, 0 before anything
  cur = ''; // the cursor
  ended = 0; // the newest run that has ended
  sends = new Map(); // client id → text, until the log has it
  stops = new Set(); // runs to be stopped, until the log says so

  constructor({ base, token, conversation, changed = () => {} }) {
    Object.assign(this, { base, token, c: conversation, changed });
    this.connect();
  }

  connect() {
    let alive;
    this.ws = new WebSocket(`${this.base.replace('http', 'ws')}/api/v2/ws`, 'conv.v1.json');
    this.failures ??= 0;
    const sign = (ms) => { clearTimeout(alive); alive = setTimeout(() => this.lost(), ms); };
    this.ws.onopen = () => this.say({ t: 'hello', client: 'minimal/1', token: this.token, resume: [{ c: this.c, cur: this.cur || undefined }] });
    this.ws.onmessage = ({ data }) => {
      const f = JSON.parse(data);
      sign(this.timeout ?? 50_000);
      if (f.t === 'welcome') this.welcome(f);
      else if (f.t === 'ping') this.say({ t: 'pong', n: f.n });
      else if (f.t === 'snapshot') this.snapshot(f);
      else if (f.t === 'ev') f.e.every((e) => this.event(e));
      else if (f.t === 'goaway') setTimeout(() => this.lost(), f.after_ms);
      else if (f.t === 'res' && !f.ok) this.refused(f);
      this.changed(this);
    };
    this.ws.onclose = ({ code }) => {
      clearTimeout(alive);
      this.ws = null;
      if (code === 1000 && this.done || code >= 4500 && code < 5000 || code === 4401) return; // 4401: get a token, then connect
      setTimeout(() => this.connect(), Math.random() * Math.min(10_000, 100 * 2 ** this.failures++));
    };
    this.ws.onerror = () => {};
    sign(10_000);
  }

  lost() { this.ws?.close(); }
  close() { this.done = true; this.ws?.close(1000); }
  say(frame) { if (this.ws?.readyState === 1) this.ws.send(JSON.stringify(frame)); }

  welcome(f) {
    this.failures = 0;
    this.timeout = f.hb.timeout_ms;
    for (const [key, text] of this.sends) this.command(key, text); // the same key again is harmless
    for (const run of this.stops) this.say({ t: 'cmd', id: `stop-${run}`, op: 'cancel', c: this.c, args: { run } });
  }

  refused({ id, err }) {
    const text = this.sends.get(id);
    if (!err.retryable) this.sends.delete(id);
    else if (text !== undefined) setTimeout(() => this.sends.has(id) && this.command(id, text), err.retry_ms || 1000);
  }

  command(key, text) { this.say({ t: 'cmd', id: key, op: 'send', c: this.c, key, args: { text } }); }
  send(key, text) { this.sends.set(key, text); this.command(key, text); }
  stop() {
    if (!this.open) return;
    this.stops.add(this.open.run);
    this.say({ t: 'cmd', id: `stop-${this.open.run}`, op: 'cancel', c: this.c, args: { run: this.open.run } });
  }

  turn(t) { this.turns.set(t.n, t); this.sends.delete(t.client_id); }

  snapshot({ cur, state }) {
    const had = this.open;
    this.turns.clear();
    for (const t of state.turns) this.turn(t);
    this.ended = Math.max(this.ended, ...state.turns.filter((t) => t.author === 'partner').map((t) => t.run ?? 0));
    this.open = state.open;
    // Of the same run and base text never shortens.
    if (had && this.open?.run === had.run && this.open.base === had.base && had.text.length > this.open.text.length) this.open.text = had.text;
    this.cur = cur;
    this.last = Number(cur.split('.').at(-1));
  }

  /** Applies an event; false means that something is missing, and it resumes. */
  event(e) {
    if (e.seq <= this.last) return true;
    if ((e.from ?? e.seq) > this.last + 1 || this.apply(e, e.data) === false) {
      this.say({ t: 'sub', id: 'again', c: this.c, cur: this.cur });
      return false;
    }
    this.last = e.seq;
    this.cur = e.cur;
    return true;
  }

  apply(e, d) {
    if (e.type === 'message.accepted') return this.turn(d);
    const [, verb] = e.type.split('.');
    if (!e.run || e.run <= this.ended) return;
    if (['completed', 'stopped', 'failed'].includes(verb)) {
      if (d.n) this.turn({ n: d.n, id: d.message_id, author: 'partner', text: d.text, run: e.run, finish: verb === 'completed' ? d.finish : verb });
      this.ended = e.run;
      this.stops.delete(e.run);
      this.open = null;
      return;
    }
    if (!['started', 'delta', 'recovering', 'resumed', 'restarted', 'stopping'].includes(verb)) return; // unknown: ignored
    if (this.open?.run !== e.run) this.open = { run: e.run, base: e.base, text: '' };
    if (e.base < this.open.base) return;
    if (e.base > this.open.base) Object.assign(this.open, { base: e.base, text: '' });
    if (verb !== 'delta') return;
    const { text } = this.open;
    if (d.at > text.length) return false;
    this.open.text += d.text.slice(text.length - d.at);
  }
}

/** For drive.mjs. */
export async function minimal({ base, token, conversation }, tell) {
  let wanted = '';
  let told = '';
  const client = new MinimalClient({
    base, token, conversation, changed: ({ open, turns, ended }) => {
      if (open?.text) tell({ event: 'text', length: open.text.length });
      const list = [...turns.values()];
      const asked = list.find((t) => t.client_id === wanted);
      const reply = asked && list.find((t) => t.author === 'partner' && t.run === asked.run);
      if (!reply || told === wanted || ended < asked.run) return;
      told = wanted;
      tell({ event: 'ended', status: 'ready', message: '', text: reply.text, id: reply.id, parts: 1, messages: list.length, streaming: false, stopped: reply.finish === 'stopped' });
    },
  });
  return {
    send: ({ id, text }) => { wanted = id; client.send(id, text); },
    stop: async () => { client.stop(); tell({ event: 'stopped', code: 200 }); },
    resume: () => {},
    move: (cmd) => { client.base = cmd.base; },
  };
}
