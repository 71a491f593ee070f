// Types of fluentpro, written by hand; test/types.check.js holds the
// implementation to them.

export type ConnectionState = 'connecting' | 'online' | 'reconnecting' | 'offline' | 'signed_out' | 'outdated';
export type TransportName = 'websocket' | 'sse' | 'poll';

export interface ConnectionStatus {
  readonly state: ConnectionState;
  /** The state as a number that does not change between releases. */
  readonly number: number;
  /** Close code of the last trouble, 0 while there is none. */
  readonly code: number;
  readonly reason: string;
  readonly transport: TransportName | '';
  /** When the state began, by the client's clock. */
  readonly since: number;
}

export interface Turn {
  n: number;
  id: string;
  author: 'learner' | 'partner';
  text: string;
  client_id?: string;
  run?: number;
  /** How a partner's turn ended: stop, length, content_filter, stopped, failed. */
  finish?: string;
  /** Milliseconds since 1970. */
  at: number;
  /** Number of the learner's turn before this one on its branch, or of the one it answers; 0 for none. */
  parent?: number;
  /** On a learner's turn: the run whose reply comes between. */
  after?: number;
}

/** What to do while a reply is being written. */
export type Policy = 'enqueue' | 'reject' | 'interrupt' | 'rollback';

export interface OpenReply {
  run: number;
  messageId: string;
  attempt: number;
  base: number;
  text: string;
  /** A stop was accepted. */
  stopping: boolean;
  /** Where the text ends once a stop was accepted. */
  limit: number | null;
  /** Another attempt has begun and brought nothing yet. */
  recovering: boolean;
}

export interface RunFailure {
  run: number;
  messageId: string;
  code: string;
  message: string;
  retryable: boolean;
  text: string;
}

/** The fold of a conversation's log. */
export interface View {
  readonly id: string;
  readonly kind: 'chat' | 'scenario' | '';
  readonly title: string;
  readonly state: 'active' | 'ended';
  readonly createdAt: number;
  /** Those of all branches, by number; branch() picks what is shown. */
  readonly turns: Turn[];
  /** The tip of the branch that is shown: its newest run, and the turn which that answers. */
  readonly head: { readonly run: number; readonly turn: number };
  readonly open: OpenReply | null;
  /** The validated scenario of a scenario request. */
  readonly result: any;
  readonly failure: RunFailure | null;
  /** Seq of the last applied event, null while unknown. */
  readonly last: number | null;
  /** The cursor to resume from. */
  readonly cur: string;
  /** The highest run that has ended. */
  readonly ended: number;
  /** Runs that have ended lately. */
  readonly over: readonly number[];
  readonly loaded: boolean;
  readonly caughtUp: boolean;
  readonly awaitingSnapshot: boolean;
  /** Something was missed: resume from `cur`. */
  readonly gap: boolean;
}

/** An event of the log or a control message. */
export interface LogMessage {
  type: string;
  v?: number;
  seq?: number;
  from?: number;
  cur?: string;
  run?: number;
  attempt?: number;
  base?: number;
  ts?: number;
  data?: Record<string, any>;
  state?: any;
  reason?: string;
}

export interface PendingMessage {
  readonly clientId: string;
  /** Absent for a message; an edit takes the place of `message`, and 'regenerate' has its reply written anew. */
  readonly op?: 'edit' | 'regenerate' | undefined;
  readonly message?: string | undefined;
  readonly text: string;
  readonly policy?: Policy | undefined;
  readonly status: 'sending' | 'sent' | 'failed';
  readonly error: { code: string; message: string } | null;
}

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** What is to be shown: the view and what is still on its way. */
export interface ConversationState extends View {
  readonly pending: PendingMessage[];
  /** The run that stop() was called for, 0 for none. */
  readonly stopRequested: number;
  /** Why the conversation cannot be read, if so. */
  readonly problem: Problem | null;
}

export interface Conversation {
  readonly id: string;
  readonly state: ConversationState;
  readonly active: boolean;
  readonly cursor: string;
  /** The listener is called at once and after each change. */
  subscribe(listener: (state: ConversationState) => void): () => void;
  /** Sends now or when the connection is back, exactly once; returns the client id. */
  send(text: string, o?: { clientId?: string; policy?: Policy }): string;
  /** Puts another text in the place of a message, by its id; a new branch begins there. */
  edit(message: string, text: string, o?: { clientId?: string; policy?: Policy }): string;
  /** Has a reply written anew, by its id or that of the message it answers. */
  regenerate(message: string, o?: { clientId?: string; policy?: Policy }): string;
  /** Shows another branch, by the run at its tip. */
  select(run: number, o?: { policy?: Policy }): Promise<void>;
  retry(clientId: string): void;
  discard(clientId: string): void;
  stop(): void;
}

export interface Clock {
  now(): number;
  setTimeout(fn: () => void, ms: number): unknown;
  clearTimeout(id: unknown): void;
}

/** The device's hints: "wake" to try at once, "offline" to doubt the connection. */
export interface Lifecycle {
  offline(): boolean;
  listen(signal: (what: 'wake' | 'offline') => void): () => void;
}

export interface KeyValueStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface ClientOptions {
  /** Address of the server without a path; a browser's own origin by default. */
  baseURL?: string | undefined;
  /**
   * The access token, asked for before each request and each connection; left
   * out where cookies speak. With `refresh` the server has refused the last
   * one: answer another, or null when the learner has to sign in.
   */
  getToken?: ((o: { refresh: boolean }) => string | null | undefined | Promise<string | null | undefined>) | undefined;
  /** Renews a cookie, or tokens kept elsewhere; false: the learner has to sign in. */
  refresh?: (() => Promise<boolean>) | undefined;
  /** Keeps unsent messages over a reload, e.g. localStorage. */
  storage?: KeyValueStorage;
  /** In the order of preference; websocket, sse, poll by default, without sse where fetch has no streams. */
  transports?: TransportName[];
  /** Name and version of the program, for the server's log. */
  name?: string;
  WebSocket?: WebSocketConstructor;
  fetch?: FetchLike;
  clock?: Clock;
  random?: () => number;
  lifecycle?: Lifecycle;
  newId?: () => string;
}

/** What is asked of a fetch; the global one of any platform fits. */
export type FetchLike = (url: string, init?: any) => Promise<ResponseLike>;

export interface FetchInit {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
}

/** What is read of a response. `body` may be missing: then there are no streams. */
export interface ResponseLike {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body?: any;
  json(): Promise<any>;
}

/** What is used of a WebSocket; the browsers' own, Node's and the ws package fit. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  send(data: string): void;
  close(code?: number): void;
}

export type WebSocketConstructor = new (url: string, protocols?: any) => WebSocketLike;

export interface FieldError {
  field: string;
  code: string;
  message: string;
}

export class ClientError extends Error {
  constructor(code: string, message: string, more?: { retryable?: boolean; retryMs?: number; status?: number; fields?: FieldError[]; requestId?: string });
  /** One of the server's codes, `connection_lost`, or `http_` and the status. */
  readonly code: string;
  readonly retryable: boolean;
  readonly retryMs: number;
  readonly status: number;
  readonly fields: FieldError[];
  readonly requestId: string;
}

export class Client {
  constructor(o?: ClientOptions);
  readonly status: ConnectionStatus;
  /** Requests to the API under /api/v2 with the same authentication. */
  readonly http: {
    json(method: string, path: string, body?: unknown, o?: { signal?: AbortSignal; refresh?: boolean }): Promise<any>;
    refresh(): Promise<boolean>;
  };
  connect(): void;
  close(): void;
  onStatus(listener: (status: ConnectionStatus) => void): () => void;
  conversation(id: string): Conversation;
}

export function newId(): string;

/** The view before anything was received. */
export function initialView(id: string): View;
/** Folds one event or control message; pure. */
export function reduce(view: View, msg: LogMessage): View;

/** The turns of the branch that is shown, in the order of the talk. */
export function branch(view: Pick<View, 'turns' | 'head'>): Turn[];
/** The tips to choose from at a turn that is shown: `at` is the place of its own among them. */
export function versions(view: Pick<View, 'turns' | 'head'>, turn: Turn): { tips: number[]; at: number };

/** The value so far of an unfinished JSON document; never throws. */
export function readPartialJSON(text: string): any;

export interface SSEMessage {
  type: string;
  data: string;
  id: string;
}

/** A strict parser of server-sent events; one for each response. */
export class SSEParser {
  lastEventId: string;
  retry: number | null;
  push(chunk: Uint8Array | string): SSEMessage[];
}

export const SUBPROTOCOL: string;
export const STATES: Readonly<Record<ConnectionState, number>>;
export const CLOSE: Readonly<Record<string, number>>;
/** The seq inside a cursor, null when it cannot be read. */
export function seqOf(cur: string | undefined | null): number | null;
