// Types of fluentpro/react.
import type { Client, ConnectionStatus, ConversationState, Policy } from '../index.js';

/** A message in the shape of the AI SDK's UIMessage. */
export interface ChatMessage {
  /** Stays the same from sending to storing: an item's key. */
  id: string;
  role: 'user' | 'assistant';
  parts: { type: 'text'; text: string; state: 'streaming' | 'done' }[];
  metadata: {
    /** Milliseconds since 1970, for what is stored. */
    createdAt?: number | undefined;
    run?: number | undefined;
    /** How a reply ended: stop, length, content_filter, stopped, failed. */
    finish?: string | undefined;
    /** Of a message that is not stored yet. */
    delivery?: 'sending' | 'sent' | 'failed' | undefined;
    error?: { code: string; message: string } | undefined;
    /** Another attempt at the reply has begun and brought nothing yet. */
    recovering?: boolean | undefined;
    stopping?: boolean | undefined;
  };
}

export interface ChatOptions {
  client: Client;
  /** The conversation. */
  id: string;
  /** What a message does while a reply is being written; enqueue by default. */
  policy?: Policy | undefined;
}

export interface ChatHelpers {
  readonly id: string;
  readonly messages: ChatMessage[];
  /** As useChat: submitted until the first text, then streaming, then ready; error while something failed. */
  readonly status: 'submitted' | 'streaming' | 'ready' | 'error';
  /** A message that was refused, a reply that failed, or why the conversation cannot be read. */
  readonly error: (Error & { code: string }) | undefined;
  /** Sends now or when the connection is back, exactly once; gives the message's id. */
  sendMessage(
    message: string | { text: string; parts?: undefined } | { text?: undefined; parts: { type: string; text?: string }[] },
    how?: { clientId?: string; policy?: Policy },
  ): Promise<string>;
  /** Puts another text in the place of a message of the learner's; gives the new message's id. */
  editMessage(id: string, text: string, how?: { clientId?: string; policy?: Policy }): Promise<string>;
  /** Has a reply written anew, the last one without an id; one that failed too. */
  regenerate(how?: { messageId?: string; clientId?: string; policy?: Policy }): Promise<void>;
  /** Stops the reply for every viewer; harmless when there is none. */
  stop(): Promise<void>;
  /** Sends a refused message again, with its id; or takes it back. */
  retry(id: string): void;
  discard(id: string): void;
  readonly connection: ConnectionStatus;
  /** Everything that is known of the conversation. */
  readonly conversation: ConversationState;
}

export function useChat(o: ChatOptions): ChatHelpers;
/** The connection as it is now. */
export function useConnection(client: Client): ConnectionStatus;
