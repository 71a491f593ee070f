// Types of fluentpro/ai-sdk.
export interface ResumingOptions {
  /** The fetch underneath; the global one by default. */
  fetch?: ((url: any, init?: any) => Promise<Response>) | undefined;
  /** So many times in a row nothing new may come before it gives up; 10 by default, about half a minute. */
  tries?: number | undefined;
  random?: (() => number) | undefined;
}

/**
 * A fetch for the AI SDK's DefaultChatTransport: an answer that is cut in the
 * middle goes on without a break. A request that meets passing trouble is
 * repeated, which the message's id makes harmless.
 */
export function resumingFetch(o?: ResumingOptions): typeof fetch;
