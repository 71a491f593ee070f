// Lists to choose from, shared by the steps.
import { useState } from '../../vendor/preact-hooks.js';
import { Failure, Field, html, Waiting } from '../ui.js';
import { useEffect } from '../../vendor/preact-hooks.js';
import { options } from './choices.js';

/**
 * Loads a list of reference data once.
 * @param {string} list
 * @returns {{ rows: any[] | null, problem: any }}
 */
export function useOptions(list) {
  const [got, setGot] = useState(/** @type {{ rows: any[] | null, problem: any }} */ ({ rows: null, problem: null }));
  useEffect(() => {
    let here = true;
    options(list).then((rows) => here && setGot({ rows, problem: null }), (problem) => here && setGot({ rows: null, problem }));
    return () => { here = false; };
  }, [list]);
  return got;
}

/** @param {{ got: { rows: any[] | null, problem: any }, children?: any }} p */
export function Loaded({ got, children }) {
  if (got.problem) return html`<${Failure} error=${got.problem} />`;
  return got.rows ? children : html`<${Waiting} />`;
}

/**
 * One choice as a label around its radio or checkbox.
 * @param {any} p
 */
export function Option({ type, name, row, checked, onPick, badge }) {
  return html`<label class=${checked ? 'option picked' : 'option'}>
    <input type=${type} name=${name} checked=${checked} data-testid=${`option-${row.slug}`} onChange=${() => onPick(row.slug)} />
    <span class="option-text"><b lang=${row.lang}>${row.name}</b>${row.more.map((/** @type {string} */ m) => html`<span>${m}</span>`)}</span>
    ${badge && html`<span class="tag">${badge}</span>`}
  </label>`;
}

/**
 * A field that adds the learner's own choice.
 * @param {{ id: string, label: string, add: (text: string) => void }} p
 */
export function AddOwn({ id, label, add }) {
  const [text, setText] = useState('');
  const take = () => {
    if (text.trim() === '') return;
    add(text.trim());
    setText('');
  };
  return html`<div class="row end">
    <${Field} id=${id} label=${label} value=${text} maxlength="120" data-testid="custom"
      onInput=${(/** @type {any} */ e) => setText(e.currentTarget.value)}
      onKeyDown=${(/** @type {any} */ e) => {
        if (e.key === 'Enter' && !e.isComposing && e.keyCode !== 229) {
          e.preventDefault();
          take();
        }
      }} />
    <button type="button" data-testid="add-custom" onClick=${take}>Add</button></div>`;
}

/** @param {{ busy: boolean, ready: boolean, label?: string }} p */
export function Next({ busy, ready, label = 'Next' }) {
  return html`<button type="submit" class="primary wide" data-testid="next" disabled=${busy || !ready}>${busy ? 'Saving…' : label}</button>`;
}

/**
 * A form that saves what `value` says.
 * @param {any} p
 */
export function StepForm({ onSave, busy, ready, children }) {
  return html`<form novalidate onSubmit=${(/** @type {any} */ e) => {
    e.preventDefault();
    if (ready && !busy) onSave();
  }}>${children}<${Next} busy=${busy} ready=${ready} /></form>`;
}
