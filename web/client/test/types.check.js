// Not a test to run: tsc fails here when src and index.d.ts disagree.
import * as actual from '../src/index.js';

/** @type {Omit<typeof import('../index.d.ts'), 'Conversation'>} */
export const api = actual;
