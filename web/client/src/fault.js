// Failures with the server's stable codes.

/** A failure that a caller can act on by its `code`. */
export class ClientError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ retryable?: boolean, retryMs?: number, status?: number, fields?: import('../index.d.ts').FieldError[], requestId?: string }} [more]
   */
  constructor(code, message, more = {}) {
    super(message || code);
    this.name = 'ClientError';
    this.code = code;
    this.retryable = more.retryable === true;
    this.retryMs = more.retryMs ?? 0;
    this.status = more.status ?? 0;
    this.fields = more.fields ?? [];
    this.requestId = more.requestId ?? '';
  }
}

/** The answer never came: repeat with the same id. */
export function connectionLost() {
  return new ClientError('connection_lost', 'The connection was lost.', { retryable: true });
}

/**
 * Statuses that a repetition may heal.
 * @param {number} status
 */
function passing(status) {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Reads a response with a problem body; any other body gives a code made of
 * the status.
 * @param {Response} res
 * @returns {Promise<ClientError>}
 */
export async function errorOf(res) {
  /** @type {any} */
  let body = null;
  try {
    body = await res.json();
  } catch {
    // A proxy's page, or nothing.
  }
  const after = Number(res.headers.get('retry-after'));
  return new ClientError(
    typeof body?.code === 'string' ? body.code : `http_${res.status}`,
    body?.detail || body?.title || `The server answered ${res.status}.`,
    {
      retryable: typeof body?.retryable === 'boolean' ? body.retryable : passing(res.status),
      retryMs: body?.retry_ms > 0 ? body.retry_ms : after > 0 ? after * 1000 : 0,
      status: res.status,
      fields: Array.isArray(body?.errors) ? body.errors : [],
      requestId: body?.request_id ?? '',
    },
  );
}
