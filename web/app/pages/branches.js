// Editing a message, asking for another reply, and going from one version to
// the next.
import { useLayoutEffect, useRef, useState } from '../../vendor/preact-hooks.js';
import { announce, html } from '../ui.js';
import { versions } from '../../client/src/index.js';

const MAX = 8192;

/**
 * The turns to show while commands are on their way: an edit hides what it
 * takes the place of, a wish for another reply the reply there is.
 * @param {any[]} shown
 * @param {any[]} pending
 */
export function shownWhile(shown, pending) {
  for (const m of pending) {
    if (!m.op || m.status === 'failed') continue;
    const at = shown.findIndex((t) => t.id === m.message || t.client_id === m.message);
    if (at >= 0) return shown.slice(0, m.op === 'regenerate' && shown[at].author === 'learner' ? at + 1 : at);
  }
  return shown;
}

/** @param {{ conversation: any, message: string, failed?: boolean }} p */
export function Again({ conversation, message, failed }) {
  const ask = () => {
    conversation.regenerate(message);
    announce('Asking for another reply');
  };
  return html`<button class=${failed ? 'primary' : 'plain'} data-testid=${failed ? 'retry-reply' : 'regenerate'} onClick=${ask}>${failed ? 'Try again' : 'Another reply'}</button>`;
}

/** @param {{ state: any, turn: any, conversation: any }} p */
export function Versions({ state, turn, conversation }) {
  const { tips, at } = versions(state, turn);
  if (tips.length < 2 || at < 0) return null;
  const go = (/** @type {number} */ to) => conversation.select(tips[to]).then(
    () => announce(`Version ${to + 1} of ${tips.length}`),
    (/** @type {any} */ err) => announce(err.message),
  );
  return html`<span class="versions" data-testid="versions">
    <button class="plain" aria-label="Version before" disabled=${at === 0} data-testid="version-before" onClick=${() => go(at - 1)}>‹</button>
    ${` ${at + 1} of ${tips.length} `}
    <button class="plain" aria-label="Next version" disabled=${at === tips.length - 1} data-testid="version-next" onClick=${() => go(at + 1)}>›</button>
  </span>`;
}

/** @param {{ turn: any, conversation: any, onDone: () => void }} p */
export function EditBox({ turn, conversation, onDone }) {
  const [text, setText] = useState(turn.text);
  const [hint, setHint] = useState('');
  const box = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    box.current.focus();
    box.current.setSelectionRange(text.length, text.length);
  }, []);
  const say = (/** @type {string} */ t) => {
    setHint(t);
    announce(t);
    box.current.focus();
  };
  const send = () => {
    const length = [...text].length;
    if (text.trim() === '') return say('Write something first.');
    if (length > MAX) return say(`Too long by ${length - MAX} characters.`);
    // What is being written for the old one is of no use any more.
    if (text !== turn.text) conversation.edit(turn.id, text, { policy: 'rollback' });
    onDone();
  };
  return html`<form class="bubble mine edit" data-testid="edit-box" onSubmit=${(/** @type {any} */ e) => { e.preventDefault(); send(); }}
      onKeyDown=${(/** @type {any} */ e) => { if (e.key === 'Escape') onDone(); }}>
    <label class="hidden-text" for="edit-text">Your message, to be changed</label>
    <textarea id="edit-text" ref=${box} data-testid="edit-text" rows="3" lang="en" dir="auto" value=${text} spellcheck=${false}
      aria-describedby="edit-hint" onInput=${(/** @type {any} */ e) => { setText(e.currentTarget.value); setHint(''); }}></textarea>
    <p class="mark error" id="edit-hint">${hint}</p>
    <p class="mark"><button type="submit" class="primary" data-testid="edit-send">Send</button>
      <button type="button" data-testid="edit-cancel" onClick=${onDone}>Cancel</button></p>
  </form>`;
}
