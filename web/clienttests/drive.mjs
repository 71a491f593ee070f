// Drives other people's clients against a real server. Commands come as JSON
// lines on stdin, what happens goes out as JSON lines: the test (in Go, beside
// the processes it kills) decides when something is cut.
//
//   {"do":"open","name":"n","client":"ai-5","base":"http://…","token":"…","conversation":"…"}
//   {"do":"send","name":"n","id":"…","text":"…"}   {"do":"resume","name":"n"}
//   {"do":"stop","name":"n"}   {"do":"move","name":"n","base":"http://…"}
import readline from 'node:readline';
import { aiChat } from './aisdk.mjs';
import { agui } from './agui.mjs';
import { minimal } from './minimal.mjs';
import { nativeSSE, nativeWS, ownClient } from './native.mjs';

const kinds = {
  'ai-5-0': aiChat, 'ai-5': aiChat, 'ai-6': aiChat, 'ai-7': aiChat,
  'ai-5-0+': aiChat, 'ai-5+': aiChat, 'ai-6+': aiChat, 'ai-7+': aiChat,
  'ag-ui-0': agui, 'ag-ui-1': agui, eventsource: nativeSSE, ws: nativeWS, minimal, own: ownClient,
};
const clients = new Map();
const tell = (name) => (event) => process.stdout.write(`${JSON.stringify({ name, ...event })}\n`);

// A client that throws where nobody listens would end the others too.
process.on('unhandledRejection', (e) => tell('')({ event: 'unhandled', message: String(e) }));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const cmd = JSON.parse(line);
  if (cmd.do === 'open') {
    clients.set(cmd.name, await kinds[cmd.client](cmd, tell(cmd.name)));
    tell(cmd.name)({ event: 'opened' });
    continue;
  }
  const client = clients.get(cmd.name);
  Promise.resolve(client[cmd.do](cmd)).catch((e) => tell(cmd.name)({ event: 'failed', message: `${cmd.do}: ${e?.stack ?? e}` }));
}
process.exit(0); // the test has gone; whatever is still open goes with it
