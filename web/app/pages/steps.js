// The steps that ask for one thing: language, industry, job, role, level.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { Field, fieldError, html } from '../ui.js';
import { api } from '../session.js';
import { Loaded, Option, StepForm, useOptions } from './options.js';

const OWN = '';

/** @param {any} p */
export function Language({ value, save, busy }) {
  const got = useOptions('languages');
  const [picked, setPicked] = useState(value?.language ?? null);
  const [search, setSearch] = useState('');
  const wanted = search.trim().toLocaleLowerCase();
  const rows = (got.rows ?? []).filter((r) => r.slug === picked || [r.name, ...r.more].some((t) => t.toLocaleLowerCase().includes(wanted)));
  return html`<${StepForm} onSave=${() => save({ language: picked })} busy=${busy} ready=${picked !== null}>
    <${Field} id="search" label="Search" type="search" value=${search} data-testid="search" onInput=${(/** @type {any} */ e) => setSearch(e.currentTarget.value)} />
    <${Loaded} got=${got}><fieldset class="options scroll"><legend class="hidden-text">Languages</legend>
      ${rows.map((r) => html`<${Option} key=${r.slug} type="radio" name="language" row=${r} checked=${picked === r.slug} onPick=${setPicked} />`)}
      ${rows.length === 0 && html`<p class="hint">No language has this name.</p>`}
    </fieldset><//>
  <//>`;
}

/** @param {any} p */
export function Industry({ value, save, busy }) {
  const got = useOptions('industries');
  const [picked, setPicked] = useState(value ? (value.industry ?? OWN) : null);
  const [other, setOther] = useState(value?.other ?? '');
  const own = picked === OWN;
  const result = own ? { other: other.trim() } : { industry: picked };
  return html`<${StepForm} onSave=${() => save(result)} busy=${busy} ready=${own ? other.trim() !== '' : picked !== null}>
    <${Loaded} got=${got}><fieldset class="options"><legend class="hidden-text">Industries</legend>
      ${(got.rows ?? []).map((r) => html`<${Option} key=${r.slug} type="radio" name="industry" row=${r} checked=${picked === r.slug} onPick=${setPicked} />`)}
      <${Option} type="radio" name="industry" row=${{ slug: 'other', name: 'Another one', more: [] }} checked=${own} onPick=${() => setPicked(OWN)} />
    </fieldset><//>
    ${own && html`<${Field} id="other" label="Your industry" value=${other} maxlength="120" data-testid="custom" onInput=${(/** @type {any} */ e) => setOther(e.currentTarget.value)} />`}
  <//>`;
}

/** @param {any} p */
export function Job({ value, save, busy, error }) {
  const [job, setJob] = useState({ title: value?.title ?? '', description: value?.description ?? '' });
  const set = (/** @type {string} */ name) => (/** @type {any} */ e) => setJob({ ...job, [name]: e.currentTarget.value });
  return html`<${StepForm} onSave=${() => save({ title: job.title.trim(), description: job.description.trim() })} busy=${busy} ready=${job.title.trim() !== ''}>
    <${Field} id="job-title" label="Job title" value=${job.title} maxlength="120" autocomplete="organization-title" data-testid="job-title" error=${fieldError(error, 'title')} onInput=${set('title')} />
    <${Field} id="job-description" label="What you do on a normal day" hint="A few sentences, in any words you like." multiline value=${job.description} maxlength="2000"
      data-testid="job-description" error=${fieldError(error, 'description')} onInput=${set('description')} />
  <//>`;
}

/** @param {any} p */
export function Role({ value, save, busy, error }) {
  const [matches, setMatches] = useState(/** @type {any} */ ({ rows: null, problem: null }));
  const [picked, setPicked] = useState(value ? (value.role ?? OWN) : null);
  const [own, setOwn] = useState({ title: value?.custom?.title ?? '', description: value?.custom?.description ?? '' });
  useEffect(() => {
    let here = true;
    api('GET', '/onboarding/role-matches').then(
      (got) => here && setMatches({
        rows: got.matches.map((/** @type {any} */ m) => ({ slug: m.role, name: m.title, more: [m.description], strength: m.strength })), problem: null,
      }),
      (problem) => here && setMatches({ rows: null, problem }),
    );
    return () => { here = false; };
  }, []);
  const isOwn = picked === OWN;
  const set = (/** @type {string} */ name) => (/** @type {any} */ e) => setOwn({ ...own, [name]: e.currentTarget.value });
  const result = isOwn ? { custom: { title: own.title.trim(), description: own.description.trim() } } : { role: picked };
  return html`<${StepForm} onSave=${() => save(result)} busy=${busy} ready=${isOwn ? own.title.trim() !== '' : picked !== null}>
    <${Loaded} got=${matches}><fieldset class="options"><legend class="hidden-text">Roles</legend>
      ${matches.rows?.length === 0 && html`<p class="hint">We have no role like this yet: describe your own.</p>`}
      ${(matches.rows ?? []).map((/** @type {any} */ r) => html`<${Option} key=${r.slug} type="radio" name="role" row=${r} checked=${picked === r.slug} onPick=${setPicked}
        badge=${r.strength === 'strong' ? 'strong match' : 'possible match'} />`)}
      <${Option} type="radio" name="role" row=${{ slug: 'custom', name: 'None of these: my own role', more: [] }} checked=${isOwn} onPick=${() => setPicked(OWN)} />
    </fieldset><//>
    ${isOwn && html`<${Field} id="role-title" label="Role" value=${own.title} maxlength="120" data-testid="role-title" error=${fieldError(error, 'custom.title')} onInput=${set('title')} />
      <${Field} id="role-description" label="What it is about" multiline value=${own.description} maxlength="1000" data-testid="role-description" error=${fieldError(error, 'custom.description')} onInput=${set('description')} />`}
  <//>`;
}

/** @param {any} p */
export function Level({ value, save, busy }) {
  const got = useOptions('levels');
  const [picked, setPicked] = useState(value?.level ?? null);
  return html`<${StepForm} onSave=${() => save({ level: picked })} busy=${busy} ready=${picked !== null}>
    <p class="hint">Choose the last one where you can say yes to the sentences.</p>
    <${Loaded} got=${got}><fieldset class="options"><legend class="hidden-text">Levels</legend>
      ${(got.rows ?? []).map((r) => html`<${Option} key=${r.slug} type="radio" name="level" row=${r} checked=${picked === r.slug} onPick=${setPicked} badge=${r.slug} />`)}
    </fieldset><//>
  <//>`;
}
