// The WebSocket transport: one socket, many conversations.
import { BROKEN, DEADLINE_FACTOR, HEARTBEAT_MS, NO_HEARTBEAT, NO_HELLO, SUBPROTOCOL } from './protocol.js';
import { connectionLost, toError } from './fault.js';

const OPEN_MS = 10_000;
const PROBE_MS = 5000;
const COMMAND_MS = 10_000;
const ACK_MS = 5000;
const ACK_EVENTS = 200;
const RETRY_MS = 1000;

/**
 * Speaks docs/protocol.md, "WebSocket".
 * @param {import('./connection.js').TransportOptions} o
 * @param {import('./connection.js').Sink} sink
 * @returns {import('./connection.js').Transport}
 */
export function webSocket(o, sink) {
  const { clock, http } = o;
  let welcomed = false;
  let greeted = false;
  let over = false;
  let heartbeat = HEARTBEAT_MS;
  let n = 0;
  /** Subscribed between hello and welcome. @type {Map<string, string>} */
  const late = new Map();
  /** @type {Map<string, { resolve: (v: any) => void, reject: (e: any) => void, timer: unknown }>} */
  const commands = new Map();
  /** @type {Map<string, { cur: string, count: number }>} */
  const unacked = new Map();
  /** Conversations that the server has attached. @type {Set<string>} */
  const attached = new Set();
  /** Attaches that failed for now, to be asked for again. @type {Map<string, unknown>} */
  const again = new Map();
  /** @type {unknown} */
  let deadline = null;
  /** @type {unknown} */
  let ackTimer = null;
  /** @type {unknown} */
  let away = null;
  /** @type {import('../index.d.ts').WebSocketLike | null} */
  let ws = null;

  const stop = () => {
    if (over) return;
    over = true;
    for (const t of [deadline, ackTimer, away, ...again.values()]) clock.clearTimeout(t);
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.onerror = () => {}; // closing a socket that is still opening is one
      try {
        ws.close(1000);
      } catch {
        // Already closed.
      }
    }
    for (const c of commands.values()) {
      clock.clearTimeout(c.timer);
      c.reject(connectionLost());
    }
    commands.clear();
  };
  /** @param {number} code @param {string} reason */
  const end = (code, reason) => {
    if (over) return;
    stop();
    sink.down({ code, reason, opened: welcomed });
  };
  /** @param {number} ms @param {number} code @param {string} why */
  const arm = (ms, code, why) => {
    clock.clearTimeout(deadline);
    deadline = clock.setTimeout(() => end(code, why), ms);
  };
  const alive = (ms = welcomed ? heartbeat * DEADLINE_FACTOR : OPEN_MS) => arm(ms, NO_HEARTBEAT, 'no sign of life');
  /** @param {unknown} frame */
  const send = (frame) => {
    if (!over && ws?.readyState === 1) ws.send(JSON.stringify(frame));
  };
  const ack = () => {
    clock.clearTimeout(ackTimer);
    ackTimer = null;
    for (const [c, u] of unacked) send({ t: 'ack', c, cur: u.cur });
    unacked.clear();
  };
  /** @param {string} c @param {any[]} list */
  const events = (c, list) => {
    sink.messages(c, list);
    const cur = list.at(-1)?.cur;
    if (!cur) return;
    const count = (unacked.get(c)?.count ?? 0) + list.length;
    unacked.set(c, { cur, count });
    if (count >= ACK_EVENTS) ack();
    else ackTimer ??= clock.setTimeout(ack, ACK_MS);
  };
  /** @param {string} id @param {any} err null when it went well @param {any} [data] */
  const settle = (id, err, data) => {
    const cmd = commands.get(id);
    if (!cmd) return;
    commands.delete(id);
    clock.clearTimeout(cmd.timer);
    if (err) cmd.reject(toError(err));
    else cmd.resolve(data ?? {});
  };
  /** @param {string} c @param {string} cur */
  const subscribe = (c, cur) => {
    if (welcomed) send({ t: 'sub', id: `s${++n}`, c, cur: cur || undefined });
    else if (greeted) late.set(c, cur); // before hello: hello itself asks for the list
  };

  /** An attach that failed for now has left nothing behind on the server. @param {string} c @param {number} [ms] */
  const retry = (c, ms) => {
    const wait = Math.max(RETRY_MS, ms ?? 0) * (0.5 + Math.random());
    again.set(c, clock.setTimeout(() => {
      again.delete(c);
      const want = o.resume().find((r) => r.c === c);
      if (want && !attached.has(c)) subscribe(c, want.cur ?? '');
    }, wait));
  };
  // The token ends soon. Whatever fails here, the close that follows leads to
  // another try.
  const renew = async () => {
    try {
      if (!(await http.refresh())) return;
      const token = await http.token();
      send({ t: 'auth', ...(token ? { token } : { ticket: (await http.json('POST', '/tickets', {})).ticket }) });
    } catch {
      // As above.
    }
  };

  /** @param {{ data: unknown }} m */
  const frame = (m) => {
    if (over || typeof m.data !== 'string') return;
    /** @type {any} */
    let f;
    try {
      f = JSON.parse(m.data);
    } catch {
      return; // Not ours to judge; the deadline decides about the connection.
    }
    alive();
    switch (f?.t) {
      case 'welcome':
        welcomed = true;
        if (f.hb?.interval_ms > 0) heartbeat = f.hb.interval_ms;
        alive();
        for (const [c, cur] of late) subscribe(c, cur);
        late.clear();
        sink.up(f.session ?? '');
        break;
      case 'ev':
        if (Array.isArray(f.e)) events(f.c, f.e);
        break;
      case 'reset':
      case 'snapshot':
      case 'caught_up':
        sink.messages(f.c, [{ ...f, type: f.t }]);
        break;
      case 'res':
        settle(String(f.id), f.ok === true ? null : (f.err ?? {}), f.data);
        break;
      case 'err':
        if (commands.has(String(f.id))) settle(String(f.id), f);
        else if (f.c) {
          sink.problem(f.c, toError(f));
          if (f.retryable && !attached.has(f.c) && !again.has(f.c)) retry(f.c, f.retry_ms);
        } else if (f.code === 'token_expired') void renew();
        break;
      case 'sub_ok':
        attached.add(f.c);
        break;
      case 'ping':
        send({ t: 'pong', n: f.n });
        break;
      case 'goaway':
        away ??= clock.setTimeout(() => end(1012, 'goaway'), Math.max(0, f.after_ms ?? 0));
        break;
    }
  };

  arm(OPEN_MS, NO_HELLO, 'no welcome in time');
  try {
    ws = new o.WebSocket(`${http.base.replace(/^http/, 'ws')}/ws`, SUBPROTOCOL);
    ws.onopen = async () => {
      let token = '';
      try {
        token = await http.token();
      } catch {
        return end(BROKEN, 'no token');
      }
      greeted = true;
      send({ t: 'hello', client: http.name, resume: o.resume(), session: o.session() || undefined, token: token || undefined });
    };
    ws.onmessage = frame;
    ws.onclose = (e) => end(e.code || BROKEN, e.reason || '');
    ws.onerror = () => {};
  } catch (err) {
    queueMicrotask(() => end(BROKEN, String(err)));
  }

  return {
    subscribe,
    unsubscribe(c) {
      attached.delete(c);
      unacked.delete(c);
      late.delete(c);
      if (welcomed) send({ t: 'unsub', c });
    },
    command(cmd) {
      if (!welcomed || over) return Promise.reject(connectionLost());
      const id = `c${++n}`;
      return new Promise((resolve, reject) => {
        // Silence after a command says nothing about what became of it; its
        // sender repeats it with the same key.
        const timer = clock.setTimeout(() => settle(id, connectionLost()), COMMAND_MS);
        commands.set(id, { resolve, reject, timer });
        send({ t: 'cmd', id, ...cmd });
      });
    },
    // Asks for a sign of life, after a sleep or a change of network.
    probe() {
      if (!welcomed || over) return;
      alive(PROBE_MS);
      send({ t: 'ping', n: ++n });
    },
    close: stop,
  };
}
