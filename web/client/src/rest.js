// Commands by REST, for the transports that only read.
import { connectionLost } from './fault.js';

const ANSWER_MS = 20_000;

/**
 * Sends a command; the same key makes a repetition harmless.
 * @param {import('./http.js').Http} http
 * @param {import('./connection.js').Command} cmd
 * @returns {Promise<any>}
 */
export async function restCommand(http, cmd) {
  const base = `/conversations/${encodeURIComponent(cmd.c)}`;
  const abort = new AbortController();
  const timer = http.clock.setTimeout(() => abort.abort(), ANSWER_MS);
  const o = { signal: abort.signal };
  try {
    if (cmd.op === 'cancel') {
      return await http.json('POST', `${base}/runs/${encodeURIComponent(String(cmd.args.run))}/cancel`, {}, o);
    }
    return await http.json('POST', `${base}/messages`, { client_id: cmd.key, ...cmd.args }, o);
  } catch (err) {
    throw abort.signal.aborted ? connectionLost() : err;
  } finally {
    http.clock.clearTimeout(timer);
  }
}
