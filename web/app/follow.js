// Scrolling of the transcript: at the bottom unless the reader went up.

const NEAR = 48;

/** Watches one scrolling element. */
export class Follow {
  /** @param {HTMLElement} el */
  constructor(el) {
    this.el = el;
    this.pinned = true;
    this.height = 0;
    this.news = false;
    /** @type {(shown: boolean) => void} */
    this.listener = () => {};
    this.onScroll = () => {
      this.pinned = el.scrollHeight - el.scrollTop - el.clientHeight < NEAR;
      if (this.pinned) this.tell(false);
    };
    el.addEventListener('scroll', this.onScroll, { passive: true });
    // The keyboard of a phone takes half the height away.
    this.observer = new ResizeObserver(() => this.pinned && this.jump());
    this.observer.observe(el);
  }

  /** Call after each drawing. */
  changed() {
    const grown = this.el.scrollHeight > this.height;
    this.height = this.el.scrollHeight;
    if (this.pinned) this.jump();
    else if (grown) this.tell(true);
  }

  toBottom() {
    this.pinned = true;
    this.jump();
    this.tell(false);
  }

  /** @param {(shown: boolean) => void} listener */
  onNews(listener) {
    this.listener = listener;
    return () => {
      this.listener = () => {};
    };
  }

  close() {
    this.el.removeEventListener('scroll', this.onScroll);
    this.observer.disconnect();
  }

  /** @private */
  jump() {
    this.el.scrollTop = this.el.scrollHeight;
  }

  /** @private @param {boolean} news */
  tell(news) {
    if (this.news === news) return;
    this.news = news;
    this.listener(news);
  }
}
