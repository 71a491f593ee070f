// The public surface; index.d.ts describes it.
export { Client, newId } from './client.js';
export { ClientError } from './fault.js';
export { branch, versions } from './branch.js';
export { initialView, reduce } from './reducer.js';
export { readPartialJSON } from './partial-json.js';
export { SSEParser } from './sse.js';
export { SUBPROTOCOL, STATES, CLOSE, seqOf } from './protocol.js';
