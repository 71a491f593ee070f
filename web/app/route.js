// Routes live in location.hash, so that one index.html serves every page.
import { signal } from '../vendor/signals.js';

/** The parts of the hash: "#/conversations/x" is ["conversations", "x"]. */
export const route = signal(parts());

function parts() {
  return location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decode);
}

/** @param {string} s */
function decode(s) {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

addEventListener('hashchange', () => {
  route.value = parts();
});

/** @param {...string} to */
export function go(...to) {
  location.hash = link(...to);
}

/** @param {...string} to */
export function link(...to) {
  return `#/${to.map(encodeURIComponent).join('/')}`;
}
