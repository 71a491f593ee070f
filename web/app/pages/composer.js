// The composer: what is written stays until the server has it.
import { useEffect, useLayoutEffect, useRef, useState } from '../../vendor/preact-hooks.js';
import { announce, html } from '../ui.js';

const MAX = 8192;
const COUNT_FROM = 7500;
/** Some browsers end the composition before they report its Enter. */
const AFTER_COMPOSITION_MS = 50;

/** @param {{ id: string, conversation: any, writing: boolean, stopRequested: boolean, onSent: () => void }} p */
export function Composer({ id, conversation, writing, stopRequested, onSent }) {
  const key = `fluentpro.draft.${id}`;
  const [text, setText] = useState(() => localStorage.getItem(key) ?? '');
  const [hint, setHint] = useState('');
  const box = useRef(/** @type {any} */ (null));
  const composed = useRef(-1000);
  useEffect(() => {
    // Storage may be full or forbidden: the text is still on the screen.
    try {
      if (text) localStorage.setItem(key, text);
      else localStorage.removeItem(key);
    } catch {}
  }, [key, text]);
  useLayoutEffect(() => {
    const el = box.current;
    el.style.height = 'auto';
    el.style.height = `${el.scrollHeight}px`;
  }, [text]);

  const length = text.length < COUNT_FROM ? text.length : [...text].length;
  const send = () => {
    const say = (/** @type {string} */ t) => {
      setHint(t);
      announce(t);
      box.current.focus();
    };
    if (text.trim() === '') return say('Write something first.');
    if (length > MAX) return say(`Too long by ${length - MAX} characters.`);
    // From here on the client keeps it, over a reload too, until the server has it.
    conversation.send(text);
    setText('');
    setHint('');
    onSent();
    box.current.focus();
  };
  const onKeyDown = (/** @type {any} */ e) => {
    if (e.key !== 'Enter' || e.shiftKey || e.ctrlKey || e.altKey || e.metaKey) return;
    if (e.isComposing || e.keyCode === 229 || e.timeStamp - composed.current < AFTER_COMPOSITION_MS) return;
    if (virtualKeyboard()) return;
    e.preventDefault();
    send();
  };
  return html`<form class="composer" onSubmit=${(/** @type {any} */ e) => { e.preventDefault(); send(); }}>
    <label class="hidden-text" for="composer">Your message</label>
    <textarea id="composer" ref=${box} data-testid="composer" rows="1" lang="en" dir="auto" value=${text} placeholder="Write your message"
      spellcheck=${false} autocorrect="off" autocapitalize="sentences" autocomplete="off" aria-describedby="composer-hint" enterkeyhint="enter"
      onInput=${(/** @type {any} */ e) => { setText(e.currentTarget.value); setHint(''); }}
      onCompositionEnd=${(/** @type {any} */ e) => { composed.current = e.timeStamp; }} onKeyDown=${onKeyDown}></textarea>
    ${writing && html`<button type="button" class="stop" data-testid="stop" disabled=${stopRequested} onClick=${() => conversation.stop()}>${stopRequested ? 'Stopping…' : 'Stop'}</button>`}
    <button type="submit" class="primary" data-testid="send">Send</button>
    <p class="composer-hint" id="composer-hint">${hint || (length > COUNT_FROM ? `${length} of ${MAX} characters` : '')}</p>
  </form>`;
}

/** On a screen keyboard Enter is for new lines: it has no Shift+Enter. */
function virtualKeyboard() {
  return matchMedia('(pointer: coarse) and (hover: none)').matches;
}
