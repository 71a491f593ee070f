// The brief card: who you are here, what you know, what to achieve.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { Failure, html, title, Waiting } from '../ui.js';
import { api, newId } from '../session.js';
import { go } from '../route.js';

/** @param {{ id: string }} p */
export function BriefPage({ id }) {
  const [scenario, setScenario] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let here = true;
    api('GET', `/scenarios/${encodeURIComponent(id)}`).then(
      (s) => {
        if (!here) return;
        title.value = `${s.title} – FluentPro`;
        setScenario(s);
      },
      (err) => here && setError(err),
    );
    return () => { here = false; };
  }, [id]);
  if (error) return html`<section class="card"><${Failure} error=${error} /></section>`;
  return scenario ? html`<${Brief} scenario=${scenario} />` : html`<${Waiting} />`;
}

/**
 * A whole scenario or as much of one as is written.
 * @param {{ scenario: any, writing?: boolean }} p
 */
export function Brief({ scenario: s, writing = false }) {
  return html`<article class=${writing ? 'card brief writing' : 'card brief'} aria-busy=${writing ? 'true' : undefined}>
    ${writing && html`<p class="waiting"><span class="spinner" aria-hidden="true"></span> We are writing a scenario for you…</p>`}
    ${s.title && html`<h1 data-testid="scenario-title">${s.title}</h1>`}
    ${s.summary && html`<p class="lead">${s.summary}</p>`}
    ${s.brief && html`<section><h2>Your brief</h2><p data-testid="scenario-brief">${s.brief}</p></section>`}
    <${BriefDetails} scenario=${s} />
    ${!writing && html`<${Start} id=${s.id} />`}
  </article>`;
}

/** @param {{ scenario: any }} p */
export function BriefDetails({ scenario: s }) {
  const objectives = list(s.objectives).filter((o) => o?.text);
  const facts = list(s.learner?.facts).filter((f) => f?.text);
  const phrases = list(s.phrases).filter((f) => f?.text);
  const words = list(s.words).filter((f) => f?.lemma);
  return html`
    ${objectives.length > 0 && html`<section><h2>What to achieve</h2><ol class="objectives">${objectives.map((o) => html`<li data-testid="scenario-objective">
      ${o.text}${o.required === false && html` <span class="tag">extra</span>`}</li>`)}</ol></section>`}
    ${s.partner?.name && html`<section><h2>You talk with</h2><p><b>${s.partner.name}</b>${s.partner.title && `, ${s.partner.title}`}</p></section>`}
    ${facts.length > 0 && html`<section><h2>What you know</h2>${s.learner.title && html`<p>You: ${s.learner.title}</p>`}
      <ul>${facts.map((f) => html`<li>${f.text}</li>`)}</ul></section>`}
    ${phrases.length > 0 && html`<section><h2>Useful phrases</h2><ul>${phrases.map((f) => html`<li><b>${f.text}</b>${f.function && html` <span class="hint">${f.function}</span>`}</li>`)}</ul></section>`}
    ${words.length > 0 && html`<section><h2>Words</h2><ul>${words.map((w) => html`<li><b>${w.lemma}</b> ${w.meaning}</li>`)}</ul></section>`}`;
}

/** @param {any} x @returns {any[]} */
function list(x) {
  return Array.isArray(x) ? x : [];
}

/** @param {{ id: string }} p */
function Start({ id }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [clientId] = useState(newId);
  const begin = async () => {
    setBusy(true);
    setError(null);
    try {
      const c = await api('POST', '/conversations', { scenario_id: id, client_id: clientId });
      go('conversations', c.id);
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return html`<div class="actions"><${Failure} error=${error} />
    <button class="primary wide" disabled=${busy} data-testid="start-conversation" onClick=${begin}>Start the conversation</button></div>`;
}
