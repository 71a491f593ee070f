// The frame around every page: header, banner, page, footer.
import { useEffect, useState } from '../vendor/preact-hooks.js';
import { announcement, html, Failure, Waiting } from './ui.js';
import { client, connection, me, signOut, start, startError } from './session.js';
import { link, route } from './route.js';
import { AuthPage } from './pages/auth.js';
import { AccountPage } from './pages/account.js';
import { ForgotPage, ResetPage, VerifyPage } from './pages/links.js';
import { OnboardingPage } from './pages/onboarding.js';
import { HomePage } from './pages/home.js';
import { WritingPage } from './pages/writing.js';
import { BriefPage } from './pages/brief.js';
import { ChatPage } from './pages/chat.js';

/** Trouble shorter than this is nobody's business. */
const BANNER_MS = 1500;

export function App() {
  return html`<${Shell} />`;
}

function Shell() {
  const [where] = route.value;
  const chat = me.value?.onboarding_complete && where === 'conversations';
  return html`<div class=${chat ? 'shell chat-shell' : 'shell'}>
    <${Header} />
    <${Banner} />
    <main id="main" tabindex="-1"><${Page} /></main>
    ${!chat && html`<${Note} />`}
    <div class="hidden-text" role="status" aria-live="polite">${announcement.value}</div>
  </div>`;
}

function Page() {
  if (startError.value) {
    return html`<section class="card"><h1>FluentPro</h1><${Failure} error=${startError.value} />
      <button class="primary" onClick=${() => void start()}>Try again</button></section>`;
  }
  if (me.value === undefined) return html`<${Waiting} />`;
  const [where, id] = route.value;
  if (where === 'reset-password') return html`<${ResetPage} id=${id} />`;
  if (where === 'verify-email') return html`<${VerifyPage} id=${id} />`;
  if (where === 'forgot-password') return html`<${ForgotPage} />`;
  if (where === 'account' && me.value) return html`<${AccountPage} />`;
  if (me.value === null) return html`<${AuthPage} signUp=${where === 'sign-up'} />`;
  if (!me.value.onboarding_complete || where === 'onboarding') return html`<${OnboardingPage} />`;
  if (where === 'scenario-requests' && id) return html`<${WritingPage} key=${id} id=${id} />`;
  if (where === 'scenarios' && id) return html`<${BriefPage} key=${id} id=${id} />`;
  if (where === 'conversations' && id) return html`<${ChatPage} key=${id} id=${id} />`;
  return html`<${HomePage} />`;
}

function Header() {
  const [error, setError] = useState(/** @type {any} */ (null));
  return html`<header class="top">
    <a class="brand" href=${link()}>FluentPro</a>
    <span class="spacer"></span>
    ${me.value && html`<${Dot} />
      <a class="who" href=${link('account')} data-testid="go-account">${me.value.full_name}</a>
      <button class="quiet" data-testid="sign-out" onClick=${() => signOut().catch(setError)}>Sign out</button>`}
    <${Failure} error=${error} />
  </header>`;
}

const WORDS = /** @type {Record<string, string>} */ ({
  connecting: 'Connecting', online: 'Connected', reconnecting: 'Reconnecting', offline: 'Offline',
  signed_out: 'Signed out', outdated: 'Out of date',
});

function Dot() {
  const s = connection.value;
  const word = WORDS[s.state];
  return html`<span class="dot" data-testid="connection-state" data-state=${s.state} data-transport=${s.transport} title=${word}>
    <span class="hidden-text">${word}</span></span>`;
}

function Banner() {
  const s = connection.value;
  const trouble = Boolean(me.value) && s.state !== 'online';
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!trouble) {
      setShown(false);
      return;
    }
    const t = setTimeout(() => setShown(true), BANNER_MS);
    return () => clearTimeout(t);
  }, [trouble]);
  if (!trouble || !shown) return null;
  return html`<div class="banner" role="status" data-testid="connection-banner">${advice(s)}</div>`;
}

/** @param {any} s */
function advice(s) {
  switch (s.state) {
    case 'signed_out':
      return html`You are signed out. Your text is kept. <button onClick=${() => { me.value = null; }}>Sign in</button>`;
    case 'outdated':
      return html`This page is out of date. Your text is kept. <button onClick=${() => location.reload()}>Reload</button>`;
    case 'offline':
      if (s.code >= 4500 || s.code === 1000) {
        return html`The server ended this connection (${s.code}). Your text is kept. <button onClick=${() => client.connect()}>Connect again</button>`;
      }
      return 'You are offline. Your text is kept and goes out when you are back.';
    default:
      return 'The connection is interrupted; trying again. Your text is kept.';
  }
}

/** Says when parts of the server are stand-ins. */
function Note() {
  const [info, setInfo] = useState(/** @type {any} */ (null));
  useEffect(() => {
    // A server without this address has nothing to say.
    client.http.json('GET', '/server-info', undefined, { refresh: false }).then(setInfo, () => {});
  }, []);
  const notes = info?.notes ?? [];
  if (notes.length === 0) return null;
  return html`<footer class="note" data-testid="server-note">${notes.map((/** @type {string} */ n) => html`<p>${n}</p>`)}</footer>`;
}
