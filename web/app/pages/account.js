// The learner's own account: password, devices, data.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { Failure, Field, fieldError, html, title, Waiting, when } from '../ui.js';
import { api, forget, me } from '../session.js';
import { useForm } from './links.js';

export function AccountPage() {
  useEffect(() => { title.value = 'Account – FluentPro'; }, []);
  return html`<section class="home" data-testid="account"><h1>Your account</h1>
    <p>${me.value.full_name} · ${me.value.email}</p>
    <${VerifyNotice} />
    <${Password} />
    <${Devices} />
    <${Data} />
    <p class="switch"><a href="#/">Back</a></p></section>`;
}

/** Says that the address is not proven yet. */
export function VerifyNotice() {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [sent, setSent] = useState(false);
  const open = me.value && (me.value.pending_email || !me.value.email_verified);
  if (!open) return null;
  const again = () => api('POST', '/me/email-verifications').then(() => setSent(true), setError);
  return html`<p class="note" data-testid="verify-notice">Please confirm ${me.value.pending_email || me.value.email}: a mail with a link is on its way.
    ${' '}${sent ? 'Sent again.' : html`<button class="quiet" data-testid="verify-again" onClick=${again}>Send it again</button>`}
    <${Failure} error=${error} /></p>`;
}

function Password() {
  const { error, busy, done, submit } = useForm((f) => api('POST', '/me/password', { password: String(f.get('password') ?? ''), new_password: String(f.get('new_password') ?? '') }));
  return html`<section class="card"><h2>Change the password</h2>
    <form onSubmit=${submit} novalidate>
      <${Field} id="old-password" name="password" label="Present password" type="password" autocomplete="current-password" data-testid="old-password" error=${fieldError(error, 'password')} />
      <${Field} id="new-password" name="new_password" label="New password" type="password" autocomplete="new-password" data-testid="new-password" error=${fieldError(error, 'new_password')} />
      <${Failure} error=${error} />
      ${done && html`<p role="status" data-testid="password-changed">Changed. All other devices were signed out.</p>`}
      <button class="primary" type="submit" disabled=${busy} data-testid="change-password">Change it</button>
    </form></section>`;
}

function Devices() {
  const [list, setList] = useState(/** @type {any[] | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const load = () => api('GET', '/me/logins').then((r) => setList(r.logins), setError);
  useEffect(() => { void load(); }, []);
  const end = (/** @type {string} */ id) => api('DELETE', `/me/logins/${encodeURIComponent(id)}`).then(load, setError);
  const all = () => api('POST', '/auth/logout', { all: true }).then(forget, setError);
  return html`<section class="card"><h2>Where you are signed in</h2>
    <${Failure} error=${error} />
    ${!list && !error && html`<${Waiting} />`}
    ${list && html`<ul>${list.map((l) => html`<li key=${l.id} data-testid="login">${l.device || 'Unknown device'} · ${when(l.used_at)}
      ${' '}${l.current ? html`<b>this one</b>` : html`<button class="quiet" onClick=${() => end(l.id)}>Sign out</button>`}</li>`)}</ul>`}
    <button data-testid="sign-out-everywhere" onClick=${all}>Sign out everywhere</button></section>`;
}

function Data() {
  const erase = useForm(async (f) => {
    await api('POST', '/me/erase', { password: String(f.get('password') ?? '') });
    forget();
  });
  return html`<section class="card"><h2>Your data</h2>
    <p><a href="/api/v2/me/export" download="fluentpro-export.json" data-testid="export">Download all that is known about you</a></p>
    <form onSubmit=${erase.submit} novalidate>
      <${Field} id="erase-password" name="password" label="Your password, to delete the account and everything in it for good" type="password"
        autocomplete="current-password" data-testid="erase-password" error=${fieldError(erase.error, 'password')} />
      <${Failure} error=${erase.error} />
      <button type="submit" disabled=${erase.busy} data-testid="erase">Delete my account</button>
    </form></section>`;
}
