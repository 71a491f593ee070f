// Sign up and sign in.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { Failure, Field, fieldError, html, title } from '../ui.js';
import { signIn, signUp } from '../session.js';

/** @param {{ signUp: boolean }} p */
export function AuthPage({ signUp: isNew }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const [pending, setPending] = useState(false);
  useEffect(() => {
    title.value = isNew ? 'Sign up – FluentPro' : 'Sign in – FluentPro';
    setError(null);
  }, [isNew]);

  const submit = async (/** @type {any} */ e) => {
    e.preventDefault();
    if (busy) return;
    const f = new FormData(e.currentTarget);
    const text = (/** @type {string} */ n) => String(f.get(n) ?? '');
    setBusy(true);
    setError(null);
    try {
      if (isNew) {
        if (await signUp({
          email: text('email').trim(), password: text('password'), full_name: text('full_name').trim(),
          accept_terms: f.has('accept_terms'), age_confirmed: f.has('age_confirmed'),
        })) {
          setPending(true);
          setBusy(false);
          return;
        }
      } else {
        await signIn({ email: text('email').trim(), password: text('password') });
      }
      if (location.hash === '#/sign-up' || location.hash === '#/sign-in') location.hash = '#/';
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };

  if (pending && isNew) {
    return html`<section class="card narrow" data-testid="sign-up-pending"><h1>Look into your mail</h1>
      <p role="status">A link there confirms your address; then sign in.</p>
      <p class="switch"><a href="#/sign-in" data-testid="go-sign-in">Sign in</a></p></section>`;
  }
  return html`<section class="card narrow">
    <h1>${isNew ? 'Create your account' : 'Sign in'}</h1>
    <p class="lead">Practise English for your job with an AI partner.</p>
    <form onSubmit=${submit} novalidate>
      ${isNew && html`<${Field} id="full-name" name="full_name" label="Full name" autocomplete="name" required data-testid="full-name" error=${fieldError(error, 'full_name')} />`}
      <${Field} id="email" name="email" label="E-mail" type="email" autocomplete="email" required data-testid="email" error=${fieldError(error, 'email')} />
      <${Field} id="password" name="password" label="Password" type="password" required data-testid="password"
        autocomplete=${isNew ? 'new-password' : 'current-password'} hint=${isNew ? 'At least 8 characters; a few words are easy to remember.' : ''}
        error=${fieldError(error, 'password')} />
      ${isNew && html`
        <label class="check"><input type="checkbox" name="accept_terms" data-testid="accept-terms" /> I accept the terms of use</label>
        <label class="check"><input type="checkbox" name="age_confirmed" data-testid="age-confirmed" /> I am old enough to work</label>`}
      <${Failure} error=${error} />
      <button class="primary wide" type="submit" disabled=${busy} data-testid=${isNew ? 'sign-up' : 'sign-in'}>
        ${busy ? 'One moment…' : isNew ? 'Sign up' : 'Sign in'}</button>
    </form>
    <p class="switch">${isNew
      ? html`Already here before? <a href="#/sign-in" data-testid="go-sign-in">Sign in</a>`
      : html`New here? <a href="#/sign-up" data-testid="go-sign-up">Create an account</a>`}</p>
    ${!isNew && html`<p class="switch">Password forgotten? <a href="#/forgot-password" data-testid="go-forgot">Set a new one</a></p>`}
  </section>`;
}
