// The AI SDK: its default transport never goes on by itself after a cut. This
// fetch does it underneath, so that useChat sees one answer without a break.
import { SSEParser } from '../src/sse.js';
import { backoff } from '../src/backoff.js';

/** Chunks that begin an answer; a client gets each once. */
const OPENING = ['start', 'start-step', 'text-start'];
/** Chunks after which nothing comes. */
const CLOSING = ['finish', 'abort', 'error'];

/**
 * A fetch for DefaultChatTransport. An answer that is cut in the middle is
 * taken up again at `{api}/{id}/stream`, and what the client has already is
 * left out.
 * @param {import('./index.d.ts').ResumingOptions} [o]
 * @returns {typeof fetch}
 */
export function resumingFetch(o = {}) {
  const ask = o.fetch ?? ((url, init) => fetch(url, init));
  const tries = o.tries ?? 10;
  return async (url, init = {}) => {
    const wait = backoff(o.random ?? Math.random);
    const pause = async () => {
      await new Promise((done) => setTimeout(done, wait.next()));
      init.signal?.throwIfAborted();
    };
    const first = await again(() => ask(url, init), pause, tries, init.signal);
    if (!first.ok || !first.body) return first;
    const resume = resumeOf(String(url), init);
    const body = new ReadableStream(splice(first.body, async () => {
      await pause();
      // 429: the connections that were just lost may still be counted.
      const res = await again(() => ask(...resume), pause, tries, init.signal, /^(5|429)/);
      // It ended longer ago than the server keeps it for this: ask as at first.
      return res.status === 204 ? again(() => ask(url, init), pause, tries, init.signal) : res;
    }, tries));
    return new Response(body, { status: first.status, headers: first.headers });
  };
}

/**
 * Asks until something but passing trouble comes back. The message's id makes
 * a repetition of the question harmless.
 * @param {() => Promise<Response>} ask
 * @param {() => Promise<void>} pause
 * @param {number} tries
 * @param {AbortSignal | null | undefined} signal
 * @param {RegExp} [passing] statuses that are
 */
async function again(ask, pause, tries, signal, passing = /^5/) {
  for (let n = 1; ; n++) {
    try {
      const res = await ask();
      if (n >= tries || !passing.test(String(res.status))) return res;
      await res.body?.cancel();
    } catch (err) {
      if (n >= tries || signal?.aborted) throw err;
    }
    await pause();
  }
}

/**
 * The request that takes an answer up again.
 * @param {string} url
 * @param {RequestInit} init
 * @returns {[string, RequestInit]}
 */
function resumeOf(url, init) {
  const { body, method, ...rest } = init;
  if (method !== 'POST') return [url, init];
  const headers = new Headers(init.headers);
  headers.delete('content-type');
  const [path, query] = url.split('?');
  const { id } = JSON.parse(String(body));
  return [`${path}/${encodeURIComponent(id)}/stream${query ? `?${query}` : ''}`, { ...rest, method: 'GET', headers }];
}

/**
 * One answer out of the pieces in which it comes.
 * @param {ReadableStream<Uint8Array>} first
 * @param {() => Promise<Response>} next
 * @param {number} tries cuts in a row that bring nothing new
 * @returns {UnderlyingDefaultSource<Uint8Array>}
 */
function splice(first, next, tries) {
  const bytes = new TextEncoder();
  let reader = first.getReader();
  let parser = new SSEParser();
  const opened = new Set();
  let shown = '';
  /** How much of what is shown this piece has told again. */
  let told = 0;
  let ended = false;
  let idle = 0;
  let id = '';

  /** @param {any} chunk @returns {any} what is new of it, or nothing */
  const fresh = (chunk) => {
    if (chunk.type === 'start') {
      if (id && chunk.messageId !== id) throw new Error('the answer was replaced by another');
      id = chunk.messageId;
    }
    if (OPENING.includes(chunk.type)) {
      if (opened.has(chunk.type)) return null;
      opened.add(chunk.type);
    }
    if (CLOSING.includes(chunk.type)) ended = true;
    if (chunk.type !== 'text-delta') return chunk;
    const again = shown.slice(told, told + chunk.delta.length);
    if (!chunk.delta.startsWith(again)) throw new Error('the answer was written anew');
    told += chunk.delta.length;
    const delta = chunk.delta.slice(again.length);
    shown += delta;
    return delta && { ...chunk, delta };
  };

  return {
    async pull(controller) {
      for (;;) {
        /** @type {{ done: boolean, value?: Uint8Array }} */
        const { done, value } = await reader.read().catch(() => ({ done: true }));
        const out = [];
        for (const m of value ? parser.push(value) : []) {
          const chunk = m.data === '[DONE]' ? m.data : fresh(JSON.parse(m.data));
          if (chunk) out.push(`data: ${chunk === m.data ? chunk : JSON.stringify(chunk)}\n\n`);
        }
        if (out.length > 0) {
          idle = 0;
          return controller.enqueue(bytes.encode(out.join('')));
        }
        if (!done) continue;
        if (ended) return controller.close();
        if (++idle > tries) throw new Error('the connection was lost in the middle of the answer');
        const res = await next();
        if (!res.ok || !res.body) throw new Error((await res.text()) || 'the answer cannot be taken up again');
        reader = res.body.getReader();
        parser = new SSEParser();
        told = 0;
      }
    },
    cancel: (why) => reader.cancel(why),
  };
}
