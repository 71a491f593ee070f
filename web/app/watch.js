// A conversation as a component sees it, drawn at most once for each frame of
// the screen: a fast model must not mean a busy page.
import { useEffect, useState } from '../vendor/preact-hooks.js';
import { client } from './session.js';

const HIDDEN_MS = 250;

/**
 * @param {string} id
 */
export function useConversation(id) {
  const conversation = client.conversation(id);
  const [state, setState] = useState(conversation.state);
  useEffect(() => {
    let cancel = /** @type {(() => void) | null} */ (null);
    const draw = () => {
      cancel = null;
      setState(conversation.state);
    };
    const off = conversation.subscribe(() => {
      if (cancel) return;
      if (document.hidden) {
        // A hidden page gets no frames, but those who listen still want to know.
        const t = setTimeout(draw, HIDDEN_MS);
        cancel = () => clearTimeout(t);
      } else {
        const f = requestAnimationFrame(draw);
        cancel = () => cancelAnimationFrame(f);
      }
    });
    // A frame asked for before the page was hidden would not come until it is
    // seen again.
    const turned = () => {
      cancel?.();
      draw();
    };
    document.addEventListener('visibilitychange', turned);
    return () => {
      off();
      document.removeEventListener('visibilitychange', turned);
      cancel?.();
    };
  }, [conversation]);
  return { conversation, state };
}
