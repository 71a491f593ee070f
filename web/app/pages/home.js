// Home: a new scenario, my scenarios, my conversations.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { Failure, html, title, Waiting, when } from '../ui.js';
import { api, me, newId } from '../session.js';
import { go, link } from '../route.js';
import { partnerChoices } from './choices.js';

export function HomePage() {
  const [data, setData] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    title.value = 'FluentPro';
    let here = true;
    Promise.all([api('GET', '/scenarios'), api('GET', '/conversations'), partnerChoices()]).then(
      ([s, c, partners]) => here && setData({ scenarios: s.scenarios ?? [], conversations: c.conversations ?? [], partners }),
      (err) => here && setError(err),
    );
    return () => { here = false; };
  }, []);
  return html`<section class="home">
    <h1>Hello, ${me.value.full_name}</h1>
    <${Failure} error=${error} />
    ${!data && !error && html`<${Waiting} />`}
    ${data && html`
      <${NewScenario} partners=${data.partners} />
      <${List} name="My conversations" empty="Nothing yet: start one from a scenario." items=${data.conversations} to="conversations" testid="conversation-link"
        line=${(/** @type {any} */ c) => `${c.state === 'ended' ? 'Ended · ' : ''}${when(c.created_at)}`} />
      <${List} name="My scenarios" empty="Nothing yet: ask for a new scenario." items=${data.scenarios} to="scenarios" testid="scenario-link"
        line=${(/** @type {any} */ s) => s.summary} />`}
    <p class="switch"><a href="#/onboarding">Change my answers about job and level</a></p>
  </section>`;
}

/** @param {{ partners: any[] }} p */
function NewScenario({ partners }) {
  const [partner, setPartner] = useState('');
  const [situation, setSituation] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  // One id for one wish: pressing again after a failure does not ask twice.
  const [clientId, setClientId] = useState(newId);
  const situations = partners.find((p) => p.value === partner)?.situations ?? [];
  const again = () => setClientId(newId());
  const ask = async () => {
    setBusy(true);
    setError(null);
    /** @type {Record<string, string>} */
    const body = { client_id: clientId };
    if (partner) body.partner = partner;
    if (situation) body.situation = situation;
    try {
      const { id } = await api('POST', '/scenario-requests', body);
      go('scenario-requests', id);
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return html`<div class="card new">
    <h2>Practise something new</h2>
    <p>We write a scenario for your job while you watch.</p>
    <div class="row">
      <div class="field"><label for="choose-partner">With</label>
        <select id="choose-partner" data-testid="choose-partner" value=${partner}
          onChange=${(/** @type {any} */ e) => { setPartner(e.currentTarget.value); setSituation(''); again(); }}>
          <option value="">Surprise me</option>
          ${partners.map((p) => html`<option value=${p.value}>${p.label}</option>`)}
        </select></div>
      <div class="field"><label for="choose-situation">Situation</label>
        <select id="choose-situation" data-testid="choose-situation" value=${situation} disabled=${situations.length === 0}
          onChange=${(/** @type {any} */ e) => { setSituation(e.currentTarget.value); again(); }}>
          <option value="">Any</option>
          ${situations.map((/** @type {any} */ s) => html`<option value=${s.value}>${s.label}</option>`)}
        </select></div>
    </div>
    <${Failure} error=${error} />
    <button class="primary" disabled=${busy} data-testid="new-scenario" onClick=${ask}>New scenario</button>
  </div>`;
}

/** @param {any} p */
function List({ name, items, empty, to, line, testid }) {
  return html`<section class="list"><h2>${name}</h2>
    ${items.length === 0 ? html`<p class="hint">${empty}</p>` : html`<ul>${items.map((/** @type {any} */ x) => html`<li key=${x.id}>
      <a class="item" href=${link(to, x.id)} data-testid=${testid}><b>${x.title || 'Conversation'}</b><span>${line(x)}</span></a></li>`)}</ul>`}
  </section>`;
}
