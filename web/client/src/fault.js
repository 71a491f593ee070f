// Failures with the server's stable codes.

/** A failure that a caller can act on by its `code`. */
export class ClientError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {any} [more] the rest, in our words or in the server's
   */
  constructor(code, message, more = {}) {
    super(message || code);
    this.name = 'ClientError';
    this.code = code;
    this.retryable = more.retryable === true;
    /** @type {number} */
    this.retryMs = more.retryMs ?? more.retry_ms ?? 0;
    /** @type {number} */
    this.status = more.status ?? 0;
    /** @type {import('../index.d.ts').FieldError[]} */
    this.fields = more.fields ?? more.errors ?? [];
    /** @type {string} */
    this.requestId = more.requestId ?? more.request_id ?? '';
  }
}

/** The answer never came: repeat with the same id. */
export const connectionLost = () => new ClientError('connection_lost', 'The connection was lost.', { retryable: true });

/**
 * An error frame or a failed result.
 * @param {any} err
 */
export const toError = (err) => (err instanceof ClientError ? err : new ClientError(err.code ?? 'internal', err.message, err));

/**
 * Reads a response with a problem body; any other body gives a code made of
 * the status.
 * @param {import('../index.d.ts').ResponseLike} res
 * @returns {Promise<ClientError>}
 */
export async function errorOf(res) {
  const { status } = res;
  /** @type {any} */
  const body = (await res.json().catch(() => null)) ?? {}; // nothing: a proxy's page
  return new ClientError(body.code ?? `http_${status}`, body.detail || body.title || `The server answered ${status}.`, {
    retryable: /^(408|425|429|5..)$/.test(`${status}`), // what a repetition may heal, if the body does not tell
    retryMs: body.retry_ms || Number(res.headers.get('retry-after')) * 1000 || 0,
    ...body, status,
  });
}
