// A scenario while the model writes it: the parts appear as they come.
import { readPartialJSON } from '../../client/src/index.js';
import { useEffect } from '../../vendor/preact-hooks.js';
import { announce, html, title } from '../ui.js';
import { useConversation } from '../watch.js';
import { link } from '../route.js';
import { Brief } from './brief.js';

/** @param {{ id: string }} p */
export function WritingPage({ id }) {
  const { state } = useConversation(id);
  const ready = state.result;
  useEffect(() => {
    title.value = ready ? `${ready.title} – FluentPro` : 'A scenario for you – FluentPro';
    announce(ready ? 'The scenario is ready' : 'A scenario is being written');
  }, [ready]);

  if (state.problem) return html`<${Sorry} text=${state.problem.message} />`;
  if (ready) return html`<${Brief} scenario=${ready} />`;
  if (state.failure && !state.open) return html`<${Sorry} text=${state.failure.message || 'The scenario could not be written.'} />`;
  const text = state.open?.text ?? state.turns.at(-1)?.text ?? '';
  return html`<${Brief} scenario=${readPartialJSON(text) ?? {}} writing=${true} />`;
}

/** @param {{ text: string }} p */
function Sorry({ text }) {
  return html`<section class="card"><h1>This did not work</h1><div class="failure" role="alert"><p>${text}</p></div>
    <a class="button" href=${link()}>Back home</a></section>`;
}
