// Onboarding: one step at a time, always at the step the server names, so that
// a reload or another device goes on at the right place.
import { useEffect, useState } from '../../vendor/preact-hooks.js';
import { Failure, html, title, Waiting } from '../ui.js';
import { api, entered, me } from '../session.js';
import { go } from '../route.js';
import { Industry, Job, Language, Level, Role } from './steps.js';
import { Partners, Situations } from './people.js';
import { Summary } from './summary.js';

const STEPS = /** @type {Record<string, { name: string, ask: string, view: any }>} */ ({
  language: { name: 'Language', ask: 'What is your first language?', view: Language },
  industry: { name: 'Industry', ask: 'Which industry do you work in?', view: Industry },
  job: { name: 'Job', ask: 'What do you do?', view: Job },
  role: { name: 'Role', ask: 'Which role fits best?', view: Role },
  partners: { name: 'Partners', ask: 'Whom do you speak English with?', view: Partners },
  situations: { name: 'Situations', ask: 'In which situations?', view: Situations },
  level: { name: 'Level', ask: 'How is your English?', view: Level },
  summary: { name: 'Summary', ask: 'Is this right?', view: Summary },
});

export function OnboardingPage() {
  const [state, setState] = useState(/** @type {any} */ (null));
  const [chosen, setChosen] = useState('');
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const load = () => api('GET', '/onboarding').then(setState, setError);
  useEffect(() => void load(), []);

  const step = chosen || openStep(state);
  useEffect(() => {
    title.value = step ? `${STEPS[step].name} – FluentPro` : 'FluentPro';
    scrollTo(0, 0);
  }, [step]);
  if (!state) return html`<section class="card"><${Failure} error=${error} />${!error && html`<${Waiting} />`}</section>`;

  const run = async (/** @type {() => Promise<void>} */ work) => {
    setBusy(true);
    setError(null);
    try {
      await work();
    } catch (/** @type {any} */ err) {
      setError(err);
      // Another tab may have moved on.
      if (err?.code === 'step_out_of_order' || err?.code === 'conflict') void load();
    }
    setBusy(false);
  };
  const save = (/** @type {any} */ value) => run(async () => {
    setState(await api('PUT', `/onboarding/steps/${step}`, value));
    setChosen('');
  });
  const complete = () => run(async () => {
    await api('PUT', '/onboarding/steps/summary', { confirmed: true });
    setState(await api('POST', '/onboarding/complete'));
    await entered();
    go();
  });
  const open = (/** @type {string} */ name) => {
    setError(null);
    setChosen(name);
  };

  const { view, ask } = STEPS[step];
  const at = state.steps.findIndex((/** @type {any} */ s) => s.step === step);
  const current = state.steps[at];
  return html`<section class="card onboarding" data-testid=${`step-${step}`}>
    <${Progress} steps=${state.steps} step=${step} open=${open} />
    <h1>${ask}</h1>
    ${current.stale && html`<p class="hint">An earlier answer has changed: please look at this one again.</p>`}
    <${view} key=${step} value=${current.value} state=${state} save=${save} complete=${complete} busy=${busy} error=${error} edit=${open} />
    <${Failure} error=${error} />
    ${at > 0 && html`<button class="quiet" data-testid="back" disabled=${busy} onClick=${() => open(state.steps[at - 1].step)}>Back</button>`}
    ${me.value.onboarding_complete && html`<button class="quiet" onClick=${() => go()}>Home</button>`}
  </section>`;
}

/** @param {any} state */
function openStep(state) {
  if (!state) return '';
  const todo = state.steps.find((/** @type {any} */ s) => !s.done || s.stale);
  if (state.current_step in STEPS) return state.current_step;
  return todo?.step ?? 'summary';
}

/** @param {{ steps: any[], step: string, open: (name: string) => void }} p */
function Progress({ steps, step, open }) {
  const at = steps.findIndex((s) => s.step === step);
  return html`<nav aria-label="Steps"><ol class="progress">${steps.map((s, i) => {
    const reachable = steps.slice(0, i).every((x) => x.done && !x.stale);
    return html`<li class=${s.done && !s.stale ? 'done' : ''}><button type="button" aria-current=${s.step === step ? 'step' : undefined}
      disabled=${!reachable} title=${STEPS[s.step].name} onClick=${() => open(s.step)}><span class="hidden-text">${STEPS[s.step].name}</span></button></li>`;
  })}</ol><p class="hint">Step ${at + 1} of ${steps.length}: ${STEPS[step].name}</p></nav>`;
}
