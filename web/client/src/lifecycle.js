// The browser's hints about network and sleep.

/** @typedef {import('../index.d.ts').Lifecycle} Lifecycle */

/**
 * Listens where there is something to listen to; elsewhere (Node) it is silent.
 * @param {any} scope globalThis
 * @returns {Lifecycle}
 */
export function lifecycleOf(scope) {
  const doc = scope.document;
  return {
    offline: () => scope.navigator?.onLine === false,
    listen(signal) {
      if (typeof scope.addEventListener !== 'function' || !doc) return () => {};
      const wake = () => signal('wake');
      const offline = () => signal('offline');
      const visible = () => doc.visibilityState === 'visible' && signal('wake');
      scope.addEventListener('online', wake);
      scope.addEventListener('pageshow', wake);
      scope.addEventListener('offline', offline);
      doc.addEventListener('visibilitychange', visible);
      doc.addEventListener('resume', wake);
      return () => {
        scope.removeEventListener('online', wake);
        scope.removeEventListener('pageshow', wake);
        scope.removeEventListener('offline', offline);
        doc.removeEventListener('visibilitychange', visible);
        doc.removeEventListener('resume', wake);
      };
    },
  };
}
