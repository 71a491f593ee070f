// Constants of the protocol (docs/protocol.md). Nothing here has behaviour.

/** The WebSocket subprotocol that the server echoes. */
export const SUBPROTOCOL = 'conv.v1.json';

/** Prefix of the subprotocol entry that may carry a token. */
export const BEARER_PROTOCOL = 'base64url.bearer.conv.';

/** Path of the API under the base URL. */
export const API = '/api/v2';

/**
 * States of a connection, each with a number that does not change between
 * releases, for logs and figures.
 * @type {Readonly<Record<import('../index.d.ts').ConnectionState, number>>}
 */
export const STATES = {
  connecting: 0,
  online: 1,
  reconnecting: 2,
  offline: 3,
  signed_out: 4,
  outdated: 5,
};

export const NORMAL = 1000;
export const BROKEN = 1006;
export const NO_HEARTBEAT = 4009;
export const NO_HELLO = 4010;
export const UNAUTHENTICATED = 4401;
export const OUTDATED = 4526;

/** Close codes that mean something to a client, for those who show them. */
export const CLOSE = /* @__PURE__ */ Object.freeze({
  normal: NORMAL,
  broken: BROKEN,
  slow: 4008,
  heartbeat: NO_HEARTBEAT,
  hello: NO_HELLO,
  unauthenticated: UNAUTHENTICATED,
  forbidden: 4503,
  superseded: 4509,
  version: OUTDATED,
});

/** The server pings after 20 s of silence unless its welcome says otherwise. */
export const HEARTBEAT_MS = 20_000;

/** SSE sends a heartbeat this often. */
export const SSE_HEARTBEAT_MS = 15_000;

/** Silence of this many intervals means that the connection is dead. */
export const DEADLINE_FACTOR = 2.5;

const RUN_EVENT = /^(partner|scenario)\.(started|delta|recovering|resumed|restarted|stopping|completed|stopped|failed)$/;

/**
 * The verb of an event that belongs to a run ("delta" of "partner.delta"), or
 * "" for every other event. `scenario.ready` is no event of a run's text.
 * @param {string} type
 * @returns {string}
 */
export function runVerb(type) {
  const m = RUN_EVENT.exec(type);
  return m ? m[2] : '';
}

/**
 * The seq inside a cursor, or null when the cursor has another form: cursors
 * are opaque, and a client that cannot read one loses only gap detection on
 * the first event after a snapshot.
 * @param {string | undefined | null} cur
 * @returns {number | null}
 */
export function seqOf(cur) {
  const m = /\.(\d{1,15})$/.exec(cur ?? '');
  return m ? Number(m[1]) : null;
}

/**
 * What a close code allows: "stop", "token" (get a new token first) or
 * "reconnect".
 * @param {number} code
 * @returns {'stop' | 'token' | 'reconnect'}
 */
export function closeAdvice(code) {
  if (code === UNAUTHENTICATED) return 'token';
  if (code === NORMAL || (code >= 4500 && code <= 4999)) return 'stop';
  return 'reconnect';
}
