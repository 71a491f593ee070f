// The connection: which transport, when to try again, what state it is in.
import { NORMAL, OUTDATED, STATES, closeAdvice } from './protocol.js';
import { HEALTHY_MS, backoff } from './backoff.js';
import { connectionLost } from './fault.js';
import { webSocket } from './websocket.js';
import { eventStream } from './eventstream.js';
import { longPoll } from './longpoll.js';

/** @typedef {import('../index.d.ts').ConnectionStatus} ConnectionStatus */
/** @typedef {import('../index.d.ts').TransportName} TransportName */
/** @typedef {{ op: 'send' | 'edit' | 'regenerate' | 'select' | 'cancel', c: string, key?: string, args: Record<string, any> }} Command */
/**
 * How a transport ended. `opened`: it had worked; `blocked`: it cannot work
 * here; `retryMs`: the server asks for so much patience.
 * @typedef {{ code: number, reason: string, opened: boolean, blocked?: boolean, retryMs?: number }} Down
 */
/**
 * What a transport tells. `attached` comes before anything of a new reading.
 * @typedef {{
 *   up: (session: string) => void,
 *   attached: (c: string) => void,
 *   messages: (c: string, msgs: any[]) => void,
 *   problem: (c: string, err: import('./fault.js').ClientError) => void,
 *   down: (d: Down) => void,
 * }} Sink
 */
/**
 * What a transport may use.
 * @typedef {{
 *   http: import('./http.js').Http,
 *   clock: import('../index.d.ts').Clock,
 *   WebSocket: import('../index.d.ts').WebSocketConstructor,
 *   session: () => string,
 *   resume: () => { c: string, cur?: string }[],
 * }} TransportOptions
 */
/**
 * @typedef {{
 *   subscribe: (c: string, cur: string) => void, unsubscribe: (c: string) => void,
 *   command: (cmd: Command) => Promise<any>, probe: () => void, close: () => void,
 * }} Transport
 */
/**
 * @typedef {{
 *   http: import('./http.js').Http, clock: import('../index.d.ts').Clock,
 *   WebSocket: import('../index.d.ts').WebSocketConstructor | undefined,
 *   random: () => number, lifecycle: import('../index.d.ts').Lifecycle, transports: TransportName[],
 *   cursors: () => { c: string, cur?: string }[],
 *   onAttached: (c: string) => void,
 *   onMessages: (c: string, msgs: any[]) => void,
 *   onProblem: (c: string, err: import('./fault.js').ClientError) => void,
 *   onStatus: (s: ConnectionStatus) => void,
 * }} ConnectionOptions
 */
/** @typedef {ReturnType<typeof connection>} Connection */

/** @type {Record<TransportName, (o: TransportOptions, sink: Sink) => Transport>} */
const TRANSPORTS = { websocket: webSocket, sse: eventStream, poll: longPoll };

/** So many refusals by a reachable server mean that the way is blocked. */
const BLOCKED_AFTER = 2;
/** After this long a better transport gets another chance. */
const UPGRADE_MS = 300_000;
/** A server's wish for patience is heeded so far. */
const PATIENCE_MS = 60_000;

/**
 * Keeps one connection alive, whatever the network does.
 * @param {ConnectionOptions} o
 */
export function connection(o) {
  const { clock, http, lifecycle, onStatus } = o;
  const ladder = o.transports.filter((t) => t !== 'websocket' || o.WebSocket);
  const wait = backoff(o.random);
  let rung = 0;
  let refused = 0;
  let lastTop = 0;
  let wanted = false;
  let ever = false;
  let session = '';
  /** @type {Transport | null} */
  let transport = null;
  /** @type {unknown} */
  let retry = null;
  /** @type {unknown} */
  let health = null;
  /** @type {(() => void) | null} */
  let unlisten = null;
  /** @type {ConnectionStatus} */
  let status = { state: 'connecting', number: STATES.connecting, code: 0, reason: '', transport: '', since: clock.now() };

  /**
   * @param {ConnectionStatus['state']} state
   * @param {number} code
   * @param {string} reason
   * @param {TransportName | ''} [name]
   */
  const set = (state, code, reason, name = '') => {
    const was = status;
    const since = was.state === state ? was.since : clock.now();
    status = { state, number: STATES[state], code, reason, transport: name, since };
    if (was.state !== state || was.transport !== name) onStatus(status);
  };
  const trying = () => (ever ? 'reconnecting' : 'connecting');
  const halt = () => {
    wanted = false;
    unlisten?.();
    unlisten = null;
    clock.clearTimeout(retry);
    clock.clearTimeout(health);
    retry = null;
    transport?.close();
    transport = null;
  };
  const nextRung = () => {
    refused = 0;
    rung = (rung + 1) % ladder.length;
  };

  const attempt = () => {
    retry = null;
    if (!wanted || transport) return;
    if (rung > 0 && clock.now() - lastTop > UPGRADE_MS) {
      rung = 0;
      refused = 0;
    }
    if (rung === 0) lastTop = clock.now();
    if (status.state !== 'offline' || !lifecycle.offline()) set(trying(), status.code, status.reason);
    const name = ladder[rung];
    /** @type {Transport | null} */
    let mine = null;
    // What a transport says after it was given up is not heard.
    /** @template {any[]} A @param {(...a: A) => void} f @returns {(...a: A) => void} */
    const heard = (f) => (...a) => {
      if (mine === null || transport === mine) f(...a);
    };
    mine = TRANSPORTS[name](
      { http, clock, WebSocket: /** @type {any} */ (o.WebSocket), session: () => session, resume: o.cursors },
      {
        attached: heard(o.onAttached),
        messages: heard(o.onMessages),
        problem: heard(o.onProblem),
        up: heard((s) => {
          if (s) session = s;
          ever = true;
          refused = 0;
          clock.clearTimeout(health);
          health = clock.setTimeout(wait.reset, HEALTHY_MS);
          set('online', 0, '', name);
        }),
        down: heard((d) => {
          transport = null;
          void down(d);
        }),
      },
    );
    transport = mine;
  };

  /** @param {Down} d */
  const down = async (d) => {
    clock.clearTimeout(health);
    const advice = closeAdvice(d.code);
    if (advice === 'stop') {
      halt();
      set(d.code === OUTDATED ? 'outdated' : 'offline', d.code, d.reason);
      return;
    }
    set(lifecycle.offline() ? 'offline' : trying(), d.code, d.reason);
    let unauthorized = advice === 'token';
    if (d.blocked) nextRung();
    else if (!d.opened && !unauthorized) {
      const found = await http.probe();
      unauthorized = found === 'unauthorized';
      if (found === 'reachable' && ++refused >= BLOCKED_AFTER) nextRung();
    }
    if (unauthorized && wanted) {
      // Nobody knows (a rejection): try again later with what we have.
      const fresh = await http.refresh().catch(() => true);
      if (!fresh && wanted) {
        halt();
        set('signed_out', d.code, d.reason);
        return;
      }
    }
    if (!wanted || transport || retry !== null) return;
    retry = clock.setTimeout(attempt, Math.max(wait.next(), Math.min(d.retryMs ?? 0, PATIENCE_MS)));
  };

  /** @param {'wake' | 'offline'} what */
  const signal = (what) => {
    if (what === 'offline' || status.state === 'online') {
      // The device may be wrong about its network: ask the server.
      transport?.probe();
      return;
    }
    if (retry === null) return;
    clock.clearTimeout(retry);
    wait.reset();
    attempt();
  };

  return {
    status: () => status,
    /** Begins, or begins again after a sign-in. */
    connect() {
      if (wanted) return;
      wanted = true;
      unlisten = lifecycle.listen(signal);
      wait.reset();
      attempt();
    },
    /** Ends it for good; connect begins anew. */
    close() {
      halt();
      set('offline', NORMAL, 'closed');
    },
    /** @param {Command} cmd @returns {Promise<any>} */
    command: (cmd) => (transport && status.state === 'online' ? transport.command(cmd) : Promise.reject(connectionLost())),
    /** @param {string} c @param {string} cur */
    subscribe: (c, cur) => transport?.subscribe(c, cur),
    /** @param {string} c */
    unsubscribe: (c) => transport?.unsubscribe(c),
  };
}
