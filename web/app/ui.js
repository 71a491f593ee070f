// What every page draws with. Text reaches the page as text nodes only; there
// is no innerHTML anywhere in this directory.
import { h } from '../vendor/preact.js';
import htm from '../vendor/htm.js';
import { effect, signal } from '../vendor/signals.js';

/** The template tag of the page. */
export const html = htm.bind(h);

/** What the one polite live region says. */
export const announcement = signal('');

/** @param {string} text */
export function announce(text) {
  announcement.value = text;
}

/** Title of the browser's tab. */
export const title = signal('FluentPro');
effect(() => {
  document.title = title.value;
});

/**
 * A labelled input whose error is tied to it.
 * @param {any} p
 */
export function Field({ id, label, hint, error, multiline, ...rest }) {
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ') || undefined;
  const control = { id, 'aria-describedby': described, 'aria-invalid': error ? 'true' : undefined, ...rest };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${multiline ? html`<textarea rows="3" ...${control}></textarea>` : html`<input ...${control} />`}
    ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}

/**
 * A failed request, said once and in place.
 * @param {{ error: any }} p
 */
export function Failure({ error }) {
  if (!error) return null;
  const fields = error.fields ?? [];
  return html`<div class="failure" role="alert">
    <p>${error.message}</p>
    ${fields.length > 0 && html`<ul>${fields.map((/** @type {any} */ f) => html`<li><b>${f.field}</b> ${f.message}</li>`)}</ul>`}
  </div>`;
}

/** @param {{ what?: string }} p */
export function Waiting({ what = 'Loading' }) {
  return html`<p class="waiting" role="status"><span class="spinner" aria-hidden="true"></span> ${what}…</p>`;
}

/**
 * The message for one field of a failed request.
 * @param {any} error
 * @param {string} name
 */
export function fieldError(error, name) {
  return error?.fields?.find((/** @type {any} */ f) => f.field === name)?.message;
}

/** @param {number} ms */
export function when(ms) {
  return ms ? new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(ms) : '';
}
