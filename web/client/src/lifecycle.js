// The browser's hints about network and sleep.

/** @typedef {import('../index.d.ts').Lifecycle} Lifecycle */

/**
 * Listens to what there is: a page, a worker without a document, or nothing
 * (Node, React Native).
 * @param {any} scope globalThis
 * @returns {Lifecycle}
 */
export function lifecycleOf(scope) {
  return {
    offline: () => scope.navigator?.onLine === false,
    listen(signal) {
      const doc = scope.document;
      const wake = () => signal('wake');
      /** @type {[any, string, () => void][]} */
      const all = [
        [scope, 'online', wake],
        [scope, 'pageshow', wake],
        [scope, 'offline', () => signal('offline')],
        [doc, 'visibilitychange', () => doc.visibilityState === 'visible' && wake()],
        [doc, 'resume', wake],
      ];
      for (const [target, name, f] of all) target?.addEventListener?.(name, f);
      return () => {
        for (const [target, name, f] of all) target?.removeEventListener?.(name, f);
      };
    },
  };
}
