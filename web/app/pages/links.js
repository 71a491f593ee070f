// What a link in a mail leads to, and how to ask for one. The link's secret is
// behind the #, which no browser sends; it is taken out of the address before
// anything else, so that it stays in no history.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { Failure, Field, fieldError, html, title, Waiting } from '../ui.js';
import { api } from '../session.js';

/** @param {(body: FormData) => Promise<void>} send */
function useForm(send) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const submit = async (/** @type {any} */ e) => {
    e.preventDefault();
    if (busy) return;
    const form = e.currentTarget;
    setBusy(true);
    setError(null);
    try {
      await send(new FormData(form));
      form.reset();
      setDone(true);
    } catch (err) {
      setError(err);
    }
    setBusy(false);
  };
  return { error, busy, done, submit };
}

export { useForm };

/** Takes the secret out of the address, once. */
function useSecret(/** @type {string | undefined} */ id, /** @type {string} */ page) {
  const [secret] = useState(id ?? '');
  useEffect(() => {
    if (id) history.replaceState(null, '', `#/${page}`);
  }, []);
  return secret;
}

export function ForgotPage() {
  useEffect(() => { title.value = 'Forgotten password – FluentPro'; }, []);
  const { error, busy, done, submit } = useForm((f) => api('POST', '/auth/forgot-password', { email: String(f.get('email') ?? '').trim() }));
  if (done) {
    return html`<section class="card narrow" data-testid="forgot-sent"><h1>Look into your mail</h1>
      <p role="status">If the address has an account, a link to set a new password is on its way. It works once, for an hour.</p>
      <p class="switch"><a href="#/sign-in">Back to sign in</a></p></section>`;
  }
  return html`<section class="card narrow"><h1>Forgotten password</h1>
    <p class="lead">We send you a link to set a new one.</p>
    <form onSubmit=${submit} novalidate>
      <${Field} id="email" name="email" label="E-mail" type="email" autocomplete="email" required data-testid="email" error=${fieldError(error, 'email')} />
      <${Failure} error=${error} />
      <button class="primary wide" type="submit" disabled=${busy} data-testid="forgot">${busy ? 'One moment…' : 'Send the link'}</button>
    </form>
    <p class="switch"><a href="#/sign-in">Back to sign in</a></p></section>`;
}

/** @param {{ id?: string }} p */
export function ResetPage({ id }) {
  const token = useSecret(id, 'reset-password');
  useEffect(() => { title.value = 'New password – FluentPro'; }, []);
  const { error, busy, done, submit } = useForm((f) => api('POST', '/auth/reset-password', { token, new_password: String(f.get('new_password') ?? '') }));
  if (done) {
    return html`<section class="card narrow" data-testid="reset-done"><h1>Your password is set</h1>
      <p role="status">Every device was signed out. Sign in with the new password.</p>
      <p class="switch"><a href="#/sign-in" data-testid="go-sign-in">Sign in</a></p></section>`;
  }
  return html`<section class="card narrow"><h1>Set a new password</h1>
    <form onSubmit=${submit} novalidate>
      <${Field} id="new-password" name="new_password" label="New password" type="password" autocomplete="new-password" required data-testid="new-password"
        hint="At least 8 characters; a few words are easy to remember." error=${fieldError(error, 'new_password')} />
      <${Failure} error=${error} />
      <button class="primary wide" type="submit" disabled=${busy} data-testid="reset">${busy ? 'One moment…' : 'Set the password'}</button>
    </form>
    <p class="switch"><a href="#/forgot-password">Ask for another link</a></p></section>`;
}

/** @param {{ id?: string }} p */
export function VerifyPage({ id }) {
  const token = useSecret(id, 'verify-email');
  const [error, setError] = useState(/** @type {any} */ (null));
  const [done, setDone] = useState(false);
  useEffect(() => {
    title.value = 'Confirm your e-mail – FluentPro';
    api('POST', '/auth/verify-email', { token }).then(() => setDone(true), setError);
  }, []);
  if (!done && !error) return html`<${Waiting} what="Confirming" />`;
  return html`<section class="card narrow" data-testid=${done ? 'verified' : 'not-verified'}><h1>${done ? 'Your e-mail is confirmed' : 'This did not work'}</h1>
    ${done && html`<p role="status">Thank you.</p>`}
    <${Failure} error=${error} />
    <p class="switch"><a href="#/">Go on</a></p></section>`;
}
