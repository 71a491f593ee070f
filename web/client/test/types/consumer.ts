// Not run: how others use the package, through its exports, checked by tsc
// with everything strict and the declarations checked too.
import { Client, ClientError, STATES, type ClientOptions, type ConversationState, type TransportName } from 'fluentpro';
import { useChat, type ChatMessage } from 'fluentpro/react';
import { resumingFetch } from 'fluentpro/ai-sdk';

const transports: TransportName[] = ['sse', 'poll'];
const options: ClientOptions = {
  baseURL: 'https://app.example.com',
  getToken: async ({ refresh }) => (refresh ? null : 'token'),
  transports, fetch, WebSocket, storage: localStorage,
};
const client = new Client(options);
const off: () => void = client.onStatus((s) => s.number === STATES.online && s.transport === 'websocket');
const talk = client.conversation('id');
talk.subscribe((s: ConversationState) => {
  const last: string | undefined = s.turns.at(-1)?.text;
  const stopping: boolean | undefined = s.open?.stopping;
  return [last, stopping];
});
const sent: string = talk.send('Hello', { policy: 'interrupt' });
talk.retry(sent);
off();
try {
  await client.http.json('GET', '/me');
} catch (err) {
  if (err instanceof ClientError) console.log(err.code, err.fields[0]?.field);
}

export function Talk(id: string): ChatMessage[] {
  const { messages, status, sendMessage, error } = useChat({ client, id });
  if (status === 'ready') void sendMessage({ text: 'Hello' }).then((x: string) => x);
  void sendMessage('Hello', { policy: 'reject' });
  return error?.code === 'not_found' ? [] : messages;
}

export const f: typeof fetch = resumingFetch({ tries: 3 });

// What must not compile.
// @ts-expect-error there is no such transport
client satisfies Client & { transport: 'pigeon' };
// @ts-expect-error a policy has three values
talk.send('x', { policy: 'later' });
// @ts-expect-error states are read only
client.status.state = 'online';
