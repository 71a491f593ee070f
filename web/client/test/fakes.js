// Scripted stand-ins: a clock that moves only when told, sockets and responses
// that say only what a test says.

export class FakeClock {
  constructor() {
    this.time = 1_000_000;
    this.next = 1;
    this.timers = new Map();
  }
  now() {
    return this.time;
  }
  setTimeout(fn, ms) {
    const id = this.next++;
    this.timers.set(id, { fn, at: this.time + ms });
    return id;
  }
  clearTimeout(id) {
    this.timers.delete(id);
  }
  /** Moves the time and runs what falls due, in order. */
  async advance(ms) {
    const end = this.time + ms;
    for (;;) {
      let due = null;
      for (const [id, t] of this.timers) if (t.at <= end && (due === null || t.at < due.at)) due = { id, ...t };
      if (due === null) break;
      this.timers.delete(due.id);
      this.time = due.at;
      due.fn();
      await settle();
    }
    this.time = end;
    await settle();
  }
}

/** Lets everything that needs no time happen. */
export async function settle() {
  for (let i = 0; i < 5; i++) await new Promise((r) => setImmediate(r));
}

/** Makes a WebSocket class whose sockets a test plays the server of. */
export function fakeSockets() {
  const all = [];
  class FakeSocket {
    constructor(url, protocol) {
      this.url = url;
      this.protocol = protocol;
      this.readyState = 0;
      this.sent = [];
      all.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.readyState = 3;
    }
    // The server's side.
    async open() {
      this.readyState = 1;
      await this.onopen?.();
      await settle();
    }
    async say(frame) {
      this.onmessage?.({ data: JSON.stringify(frame) });
      await settle();
    }
    async welcome(session = 's-1') {
      await this.open();
      await this.say({ t: 'welcome', session, node: 'n', hb: { interval_ms: 20000, timeout_ms: 50000 } });
    }
    async drop(code = 1006, reason = '') {
      this.readyState = 3;
      this.onclose?.({ code, reason });
      await settle();
    }
    frames(t) {
      return this.sent.filter((f) => f.t === t);
    }
  }
  return { WebSocket: FakeSocket, all, last: () => all.at(-1) };
}

/** A fetch whose answers are decided by `route(method, path, init)`. */
export function fakeFetch(route) {
  const calls = [];
  const fetch = async (url, init = {}) => {
    const path = String(url).replace(/^https?:\/\/[^/]+\/api\/v2/, '');
    calls.push({ method: init.method ?? 'GET', path, headers: new Headers(init.headers), body: init.body ? JSON.parse(init.body) : null, signal: init.signal });
    const res = await route(init.method ?? 'GET', path, init);
    if (res === undefined) throw new TypeError('network');
    return res;
  };
  return { fetch, calls };
}

export function json(status, body, headers = {}) {
  return new Response(body === null ? null : JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } });
}

/** A response whose body a test writes piece by piece. */
export function stream(signal) {
  let controller;
  const body = new ReadableStream({ start(c) { controller = c; } });
  signal?.addEventListener('abort', () => {
    try {
      controller.error(new DOMException('aborted', 'AbortError'));
    } catch {
      // Ended before.
    }
  });
  const bytes = new TextEncoder();
  return {
    response: new Response(body, { status: 200, headers: { 'Content-Type': 'text/event-stream' } }),
    async write(text) {
      controller.enqueue(bytes.encode(text));
      await settle();
    },
    async end() {
      controller.close();
      await settle();
    },
    async fail() {
      controller.error(new TypeError('cut'));
      await settle();
    },
  };
}

export function fakeLifecycle() {
  const l = {
    isOffline: false,
    signal: () => {},
    offline: () => l.isOffline,
    listen(fn) {
      l.signal = fn;
      return () => { l.signal = () => {}; };
    },
  };
  return l;
}

export function memoryStorage() {
  const m = new Map();
  return { getItem: (k) => m.get(k) ?? null, setItem: (k, v) => m.set(k, v), removeItem: (k) => m.delete(k), m };
}

/** A log of a conversation, numbered as the server numbers it. */
export function log(c = 'c1') {
  let seq = 0;
  const ev = (type, data, more = {}) => {
    seq++;
    return { v: 1, seq, cur: `1.aa.${seq}`, type, ts: 1000 + seq, data, ...more };
  };
  return { c, ev, run: (type, data, run = 1, more = {}) => ev(type, data, { run, attempt: 1, base: 1, ...more }) };
}
