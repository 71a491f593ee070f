// The last step: all answers, each with a way back to it.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { html } from '../ui.js';
import { nameIn, options, partnerChoices } from './choices.js';

/** @param {any} p */
export function Summary({ state, complete, busy, edit }) {
  const [names, setNames] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let here = true;
    Promise.all([options('languages'), options('industries'), options('roles'), options('levels'), partnerChoices()]).then(
      ([languages, industries, roles, levels, partners]) => here && setNames({ languages, industries, roles, levels, partners }),
      () => here && setNames({ languages: [], industries: [], roles: [], levels: [], partners: [] }), // slugs are better than nothing
    );
    return () => { here = false; };
  }, []);
  const v = (/** @type {string} */ step) => state.steps.find((/** @type {any} */ s) => s.step === step)?.value ?? {};
  const n = names ?? { languages: [], industries: [], roles: [], levels: [], partners: [] };
  const level = v('level').level;
  const rows = [
    ['language', 'First language', nameIn(n.languages, v('language').language)],
    ['industry', 'Industry', v('industry').other ?? nameIn(n.industries, v('industry').industry)],
    ['job', 'Job', v('job').title],
    ['role', 'Role', v('role').custom?.title ?? nameIn(n.roles, v('role').role)],
    ['partners', 'Partners', n.partners.map((/** @type {any} */ p) => p.label).join(', ')],
    ['situations', 'Situations', n.partners.map((/** @type {any} */ p) => `${p.label}: ${p.situations.map((/** @type {any} */ s) => s.label).join(', ')}`).join('; ')],
    ['level', 'Level', level && `${level} ${nameIn(n.levels, level)}`],
  ];
  return html`<dl class="summary">${rows.map(([step, name, text]) => html`<div key=${step}><dt>${name}</dt><dd>${text}</dd>
      <dd><button type="button" class="quiet" aria-label=${`Change ${name}`} onClick=${() => edit(step)}>Change</button></dd></div>`)}</dl>
    <button type="button" class="primary wide" data-testid="complete" disabled=${busy} onClick=${complete}>${busy ? 'Saving…' : 'Yes, let us begin'}</button>`;
}
