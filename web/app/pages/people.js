// Partners in the order of their weight, and the situations with each.
import { useState } from '../../vendor/preact-hooks.js';
import { html } from '../ui.js';
import { nameIn, refOf } from './choices.js';
import { AddOwn, Loaded, Option, StepForm, useOptions } from './options.js';

/**
 * An ordered choice: entries are { <field>: slug } or { custom: text }.
 * @param {any} p
 */
function Ordered({ field, rows, entries, change, addLabel, id }) {
  const at = (/** @type {string} */ slug) => entries.findIndex((/** @type {any} */ e) => e[field] === slug);
  const toggle = (/** @type {string} */ slug) =>
    change(at(slug) >= 0 ? entries.filter((/** @type {any} */ e) => e[field] !== slug) : [...entries, { [field]: slug }]);
  const move = (/** @type {number} */ i, /** @type {number} */ to) => {
    const next = entries.slice();
    next.splice(to, 0, ...next.splice(i, 1));
    change(next);
  };
  const label = (/** @type {any} */ e) => e.custom ?? nameIn(rows, e[field]);
  return html`
    <fieldset class="options"><legend class="hidden-text">Choices</legend>
      ${rows.map((/** @type {any} */ r) => html`<${Option} key=${r.slug} type="checkbox" name=${id} row=${r} checked=${at(r.slug) >= 0} onPick=${toggle}
        badge=${at(r.slug) >= 0 ? `${at(r.slug) + 1}` : ''} />`)}
    </fieldset>
    <${AddOwn} id=${`own-${id}`} label=${addLabel} add=${(/** @type {string} */ text) =>
      entries.some((/** @type {any} */ e) => e.custom === text) || change([...entries, { custom: text }])} />
    ${(entries.length > 1 || entries.some((/** @type {any} */ e) => e.custom)) && html`<h3>Your order</h3><ol class="order">${entries.map((/** @type {any} */ e, /** @type {number} */ i) => html`<li key=${refOf({ custom: e.custom, partner: e[field] })}>
      <span>${label(e)}</span>
      <button type="button" aria-label=${`${label(e)}: more important`} disabled=${i === 0} onClick=${() => move(i, i - 1)}>↑</button>
      <button type="button" aria-label=${`${label(e)}: less important`} disabled=${i === entries.length - 1} onClick=${() => move(i, i + 1)}>↓</button>
      <button type="button" aria-label=${`Remove ${label(e)}`} onClick=${() => change(entries.filter((/** @type {any} */ x) => x !== e))}>✕</button></li>`)}</ol>`}`;
}

/** @param {any} p */
export function Partners({ value, save, busy }) {
  const got = useOptions('partners');
  const [entries, setEntries] = useState(/** @type {any[]} */ (value?.partners ?? []));
  return html`<${StepForm} onSave=${() => save({ partners: entries })} busy=${busy} ready=${entries.length > 0}>
    <p class="hint">Choose all that matter; the first one matters most.</p>
    <${Loaded} got=${got}><${Ordered} id="partners" field="partner" rows=${got.rows ?? []} entries=${entries} change=${setEntries} addLabel="Somebody else" /><//>
  <//>`;
}

/** @param {any} p */
export function Situations({ value, state, save, busy }) {
  const got = useOptions('situations');
  const names = useOptions('partners');
  const partners = state.steps.find((/** @type {any} */ s) => s.step === 'partners')?.value?.partners ?? [];
  const refs = partners.map(refOf);
  const [chosen, setChosen] = useState(() => {
    /** @type {Record<string, any[]>} */
    const out = Object.create(null);
    for (const s of value?.situations ?? []) out[s.partner] = s.situations;
    return out;
  });
  const ready = refs.every((/** @type {string} */ r) => (chosen[r] ?? []).length > 0);
  const result = () => ({ situations: refs.map((/** @type {string} */ r) => ({ partner: r, situations: chosen[r] })) });
  return html`<${StepForm} onSave=${() => save(result())} busy=${busy} ready=${ready}>
    <p class="hint">At least one for each partner.</p>
    <${Loaded} got=${got}>${partners.map((/** @type {any} */ p, /** @type {number} */ i) => html`<details class="fold" key=${refs[i]} open=${i === 0 || partners.length < 4} data-testid=${`partner-${refs[i]}`}>
      <summary>With ${p.custom ?? nameIn(names.rows ?? [], p.partner)}${(chosen[refs[i]] ?? []).length > 0 && ` (${chosen[refs[i]].length})`}</summary>
      <${Ordered} id=${`situations-${i}`} field="situation" rows=${got.rows ?? []} entries=${chosen[refs[i]] ?? []} addLabel="Another situation"
        change=${(/** @type {any[]} */ list) => setChosen({ __proto__: null, ...chosen, [refs[i]]: list })} /></details>`)}<//>
  <//>`;
}
