// A conversation as a component sees it, drawn at most once for each frame of
// the screen: a fast model must not mean a busy page.
import { useEffect, useState } from '../vendor/preact-hooks.js';
import { client } from './session.js';

/**
 * @param {string} id
 */
export function useConversation(id) {
  const conversation = client.conversation(id);
  const [state, setState] = useState(conversation.state);
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      frame = 0;
      setState(conversation.state);
    };
    const off = conversation.subscribe(() => {
      // A hidden page gets no frames and needs none.
      if (frame === 0) frame = requestAnimationFrame(draw);
    });
    return () => {
      off();
      if (frame !== 0) cancelAnimationFrame(frame);
    };
  }, [conversation]);
  return { conversation, state };
}
