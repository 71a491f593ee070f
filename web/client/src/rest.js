// Commands by REST, for the transports that only read.
import { ClientError, connectionLost } from './fault.js';

const ANSWER_MS = 20_000;

/**
 * Sends a command; the same key makes a repetition harmless.
 * @param {import('./http.js').Http} http
 * @param {import('./connection.js').Command} cmd
 * @returns {Promise<any>}
 */
export function restCommand(http, { op, c, key, args }) {
  const { message, ...rest } = args;
  const [path, body] = op === 'cancel' ? [`runs/${args.run}/cancel`, {}]
    : op === 'select' ? ['branch', rest]
      : [message ? `messages/${encodeURIComponent(message)}/${op}` : 'messages', { client_id: key, ...rest }];
  return http.timed(ANSWER_MS, (signal) => http.json('POST', `/conversations/${encodeURIComponent(c)}/${path}`, body, { signal })).catch((err) => {
    throw err instanceof ClientError ? err : connectionLost();
  });
}
