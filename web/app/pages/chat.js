// The chat: transcript, reply as it is written, composer.
import { useEffect, useLayoutEffect, useRef, useState } from '../../vendor/preact-hooks.js';
import { announce, html, title, Waiting } from '../ui.js';
import { api } from '../session.js';
import { useConversation } from '../watch.js';
import { link } from '../route.js';
import { branch } from '../../client/src/index.js';
import { Follow } from '../follow.js';
import { BriefDetails } from './brief.js';
import { Composer } from './composer.js';
import { Again, EditBox, shownWhile, Versions } from './branches.js';

/** Said again to those who listen while a reply takes long. */
const STILL_MS = 8000;

/** @param {{ id: string }} p */
export function ChatPage({ id }) {
  const { conversation, state } = useConversation(id);
  const scenario = useScenario(id);
  const partner = scenario?.partner?.name || 'Your partner';
  const scroller = useRef(/** @type {any} */ (null));
  const follow = useFollow(scroller, Boolean(state.problem));
  const [editing, setEditing] = useState(''); // id of the message being edited
  useEffect(() => {
    title.value = `${state.title || 'Conversation'} – FluentPro`;
  }, [state.title]);
  useAnnouncements(state, partner);
  useLayoutEffect(() => follow.current?.changed());

  if (state.problem) {
    return html`<section class="card"><h1>This conversation cannot be read</h1>
      <div class="failure" role="alert"><p>${state.problem.message}</p></div><a class="button" href=${link()}>Back home</a></section>`;
  }
  const shown = shownWhile(branch(state), state.pending);
  const here = onBranch(state, shown);
  const last = shown.findLast((/** @type {any} */ t) => t.author === 'learner');
  const resting = state.state === 'active' && !here.open && state.pending.length === 0;
  return html`<section class="chat">
    <header class="chat-head"><h1>${state.title || 'Conversation'}</h1>
      ${scenario && html`<details class="brief-fold"><summary>Brief</summary><div class="fold"><p>${scenario.brief}</p><${BriefDetails} scenario=${scenario} /></div></details>`}
    </header>
    <div class="scroller" ref=${scroller} tabindex="0" role="log" aria-live="off" aria-label="Transcript">
      ${!state.loaded && html`<${Waiting} />`}
      <div class="turns">
        ${shown.map((/** @type {any} */ t) => (editing !== '' && editing === t.id
          ? html`<${EditBox} key=${t.id} turn=${t} conversation=${conversation} onDone=${() => setEditing('')} />`
          : html`<${Turn} key=${t.id || t.n} turn=${t} partner=${partner}>
              <${Versions} state=${state} turn=${t} conversation=${conversation} />
              ${t === last && state.state === 'active' && html`<button class="plain" data-testid="edit" onClick=${() => setEditing(t.id)}>Edit</button>`}
              ${t === shown.at(-1) && t !== last && last && resting && html`<${Again} conversation=${conversation} message=${t.id} />`}
            <//>`))}
        ${state.pending.map((/** @type {any} */ m) => html`<${Pending} key=${m.clientId} message=${m} conversation=${conversation} />`)}
        <${Open} state=${here} partner=${partner} last=${shown.at(-1)} conversation=${conversation} />
      </div>
    </div>
    <${NewMessages} follow=${follow} />
    ${state.state === 'ended'
      ? html`<p class="ended">This conversation has ended. <a href=${link()}>Practise something new</a></p>`
      : html`<${Composer} id=${id} conversation=${conversation} writing=${Boolean(state.open)} stopRequested=${state.stopRequested > 0 || state.open?.stopping}
          onSent=${() => follow.current?.toBottom()} />`}
  </section>`;
}

const FINISH = /** @type {Record<string, string>} */ ({
  stopped: 'You stopped this reply.', length: 'The reply was cut at its longest.', content_filter: 'The reply was cut by a filter.', failed: 'The reply broke off.',
});

/**
 * What is open or has failed, if it belongs to the branch that is shown.
 * @param {any} state
 * @param {any[]} shown
 */
function onBranch(state, shown) {
  const runs = new Set([state.head.run, ...shown.map((t) => t.after)]);
  const failed = state.failure && (!state.failure.run || state.failure.run === state.head.run);
  return { ...state, open: state.open && runs.has(state.open.run) ? state.open : null, failure: failed ? state.failure : null };
}

/** @param {{ turn: any, partner: string, children?: any }} p */
function Turn({ turn, partner, children }) {
  const mine = turn.author === 'learner';
  const clock = turn.at ? new Intl.DateTimeFormat(undefined, { timeStyle: 'short' }).format(turn.at) : '';
  return html`<article class=${mine ? 'bubble mine' : 'bubble'} aria-label=${`${mine ? 'You' : partner}, ${clock}`} data-testid=${mine ? 'turn-learner' : 'turn-partner'} data-n=${turn.n}>
    <p class="said" lang="en" dir="auto">${turn.text}</p>
    ${FINISH[turn.finish] && html`<p class="mark">${FINISH[turn.finish]}</p>`}
    <p class="mark turn-tools">${children}</p>
  </article>`;
}

/** @param {{ message: any, conversation: any }} p */
function Pending({ message: m, conversation }) {
  return html`<article class=${`bubble mine pending ${m.status}`} data-testid="pending" data-status=${m.status} aria-label="You">
    <p class="said" lang="en" dir="auto">${m.op === 'regenerate' ? 'Another reply, please.' : m.text}</p>
    ${m.status === 'failed'
      ? html`<p class="mark error">Not sent. ${m.error?.message}</p>
        <p class="mark"><button data-testid="retry" onClick=${() => conversation.retry(m.clientId)}>Try again</button>
        <button data-testid="discard" onClick=${() => conversation.discard(m.clientId)}>Remove</button></p>`
      : html`<p class="mark">${m.status === 'sent' ? 'Sent' : 'Sending…'}</p>`}
  </article>`;
}

/** @param {{ state: any, partner: string, last: any, conversation: any }} p */
function Open({ state, partner, last, conversation }) {
  const { open, failure } = state;
  if (open) {
    return html`<article class="bubble open" aria-label=${partner} aria-busy="true" data-testid="open-reply" data-run=${open.run}>
      ${open.text
        ? html`<p class="said" lang="en" dir="auto">${open.text}<span class="caret" aria-hidden="true"></span></p>`
        : html`<p class="mark">${partner} is writing…</p>`}</article>`;
  }
  if (failure) {
    return html`${failure.text && html`<article class="bubble" aria-label=${partner}><p class="said" lang="en" dir="auto">${failure.text}</p></article>`}
      <div class="failure" role="alert"><p>${failure.message || 'The reply could not be written.'}</p>
        ${state.state === 'active' && state.pending.length === 0 && html`<p><${Again} conversation=${conversation} message=${failure.messageId} failed /></p>`}
        <p>Or write on, and ${partner} answers that.</p></div>`;
  }
  if (last?.author === 'learner' && state.state === 'active') {
    return html`<article class="bubble open" aria-label=${partner} aria-busy="true"><p class="mark">${partner} is reading…</p></article>`;
  }
  return null;
}

/** @param {{ follow: any }} p */
function NewMessages({ follow }) {
  const [shown, setShown] = useState(false);
  useEffect(() => follow.current?.onNews(setShown), [follow]);
  return shown && html`<button class="news" data-testid="new-messages" onClick=${() => follow.current?.toBottom()}>New messages ↓</button>`;
}

/**
 * @param {any} scroller
 * @param {boolean} absent
 */
function useFollow(scroller, absent) {
  const follow = useRef(/** @type {Follow | null} */ (null));
  useLayoutEffect(() => {
    if (!scroller.current) return;
    const f = new Follow(scroller.current);
    follow.current = f;
    return () => f.close();
  }, [scroller, absent]);
  return follow;
}

/** @param {string} id */
function useScenario(id) {
  const [scenario, setScenario] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let here = true;
    (async () => {
      const { conversations } = await api('GET', '/conversations?limit=100');
      const mine = conversations.find((/** @type {any} */ c) => c.id === id);
      if (!mine?.scenario_id) return;
      const s = await api('GET', `/scenarios/${encodeURIComponent(mine.scenario_id)}`);
      if (here) setScenario(s);
    })().catch(() => {}); // The talk goes on without its brief beside it.
    return () => { here = false; };
  }, [id]);
  return scenario;
}

/**
 * Tells listeners what happens, never token by token.
 * @param {any} state
 * @param {string} partner
 */
function useAnnouncements(state, partner) {
  const before = useRef(/** @type {any} */ (null));
  const run = state.open?.run ?? 0;
  useEffect(() => {
    const was = before.current;
    before.current = state;
    if (!was?.loaded) return;
    if (run !== 0 && was.open?.run !== run) announce(`${partner} is writing`);
    else if (run === 0 && was.open) announce(state.failure ? 'The reply could not be written' : `${partner} has replied`);
    else if (state.turns.length > was.turns.length && state.turns.at(-1).author === 'learner') announce('Message sent');
  }, [state]);
  useEffect(() => {
    if (run === 0) return;
    let even = false;
    const t = setInterval(() => {
      even = !even; // the same words twice would not be read
      announce(`${partner} is still writing${even ? '' : '…'}`);
    }, STILL_MS);
    return () => clearInterval(t);
  }, [run, partner]);
}
