// Who is signed in, and the one client of the page. Tokens live in HttpOnly
// cookies: no script here ever sees one.
import { Client, ClientError, newId } from '../client/src/index.js';
import { signal } from '../vendor/signals.js';

/** undefined: not known yet; null: nobody. */
export const me = signal(/** @type {any} */ (undefined));

/** Why the learner could not be determined at the start. */
export const startError = signal(/** @type {any} */ (null));

/** State of the connection. */
export const connection = signal(/** @type {any} */ (null));

const REFRESHED = 'fluentpro.refreshed';
const FRESH_MS = 10_000;

export const client = new Client({ name: 'fluentpro-web/0.1', refresh, storage: localStorage });
client.onStatus((s) => {
  connection.value = s;
});

/**
 * New tokens by the cookie. Two tabs that use one refresh token would look
 * like a theft of it, so they take turns and the second one sees that it has
 * nothing to do.
 * @returns {Promise<boolean>}
 */
async function refresh() {
  const asked = Date.now();
  return navigator.locks ? navigator.locks.request('fluentpro.refresh', () => once(asked)) : once(asked);
}

/** @param {number} asked */
async function once(asked) {
  if (Number(localStorage.getItem(REFRESHED)) > asked - FRESH_MS) {
    localStorage.removeItem(REFRESHED); // it helps once; a second 401 is a real one
    return true;
  }
  try {
    await client.http.json('POST', '/auth/refresh', { transport: 'cookie' }, { refresh: false });
    localStorage.setItem(REFRESHED, String(Date.now()));
    return true;
  } catch (err) {
    if (err instanceof ClientError && err.status >= 400 && err.status < 500 && err.status !== 408 && err.status !== 429) {
      if (me.value) me.value = null;
      return false;
    }
    throw err;
  }
}

/** Finds out who is signed in. */
export async function start() {
  startError.value = null;
  try {
    await entered();
  } catch (err) {
    if (err instanceof ClientError && err.status === 401) me.value = null;
    else startError.value = err;
  }
}

/** Reads the learner and connects. */
export async function entered() {
  me.value = await client.http.json('GET', '/me');
  client.connect();
}

/**
 * Whether a mail must confirm the sign-up first.
 * @param {{ email: string, password: string, full_name: string, accept_terms: boolean, age_confirmed: boolean }} form
 */
export async function signUp(form) {
  const got = await client.http.json('POST', '/auth/sign-up', { ...form, transport: 'cookie' }, { refresh: false });
  if (got?.pending) return true; // a mail must confirm it first
  await entered();
  return false;
}

/** @param {{ email: string, password: string }} form */
export async function signIn(form) {
  await client.http.json('POST', '/auth/login', { ...form, transport: 'cookie' }, { refresh: false });
  await entered();
}

/** Ends the login of this browser. */
export async function signOut() {
  try {
    await client.http.json('POST', '/auth/logout', {}, { refresh: false });
  } catch (err) {
    if (!(err instanceof ClientError) || err.status !== 401) throw err;
  }
  forget();
}

/** Forgets what this browser kept, and begins anew. */
export function forget() {
  client.close();
  // The next person at this browser must not find this one's words.
  for (const k of Object.keys(localStorage)) if (k.startsWith('fluentpro.')) localStorage.removeItem(k);
  location.hash = '';
  location.reload();
}

/**
 * A request of the API.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 */
export function api(method, path, body) {
  return client.http.json(method, path, body);
}

export { newId };
