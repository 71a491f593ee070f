// Not a test to run: tsc fails here when src and index.d.ts disagree.
import * as actual from '../src/index.js';

/** @type {typeof import('../index.d.ts')} */
export const api = actual;
