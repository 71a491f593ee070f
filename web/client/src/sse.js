// A parser of server-sent events that follows the HTML standard to the letter:
// CR, LF and CRLF, also split between chunks; a BOM at the start; comments;
// id-only blocks; ids with NUL ignored; an unfinished block at the end dropped.

/** A block larger than this is not ours. */
const MAX_BLOCK = 8 * 1024 * 1024;

/** @typedef {import('../index.d.ts').SSEMessage} SSEMessage */

/** Parses one stream; make a new one for each response. */
export class SSEParser {
  constructor() {
    /** The id to resume from; id-only blocks change it too. */
    this.lastEventId = '';
    /** @type {number | null} */
    this.retry = null;
    /** @private */ this._id = '';
    /** @private */ this._type = '';
    /** @private @type {string[]} */ this._data = [];
    /** @private */ this._rest = '';
    /** @private */ this._size = 0;
    /** @private */ this._skipLF = false;
    /** @private */ this._begun = false;
    /** @private */ this._decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  }

  /**
   * Takes a chunk, bytes or text, and returns the messages it finished.
   * @param {Uint8Array | string} chunk
   * @returns {SSEMessage[]}
   */
  push(chunk) {
    let text = typeof chunk === 'string' ? chunk : this._decoder.decode(chunk, { stream: true });
    if (text === '') return [];
    if (!this._begun) {
      this._begun = true;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    if (this._skipLF && text !== '') {
      this._skipLF = false;
      if (text[0] === '\n') text = text.slice(1);
    }
    /** @type {SSEMessage[]} */
    const out = [];
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (c !== '\n' && c !== '\r') continue;
      this._line(this._rest + text.slice(start, i), out);
      this._rest = '';
      if (c === '\r') {
        if (i + 1 === text.length) this._skipLF = true;
        else if (text[i + 1] === '\n') i++;
      }
      start = i + 1;
    }
    this._rest += text.slice(start);
    if (this._rest.length + this._size > MAX_BLOCK) throw new RangeError('event stream: a block is too large');
    return out;
  }

  /**
   * @private
   * @param {string} line
   * @param {SSEMessage[]} out
   */
  _line(line, out) {
    if (line === '') {
      this._dispatch(out);
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value[0] === ' ') value = value.slice(1);
    switch (field) {
      case 'event':
        this._type = value;
        break;
      case 'data':
        this._data.push(value);
        this._size += value.length;
        break;
      case 'id':
        if (!value.includes('\0')) this._id = value;
        break;
      case 'retry':
        if (/^\d+$/.test(value)) this.retry = Number(value);
        break;
    }
  }

  /**
   * @private
   * @param {SSEMessage[]} out
   */
  _dispatch(out) {
    this.lastEventId = this._id;
    if (this._data.length > 0) {
      out.push({ type: this._type || 'message', data: this._data.join('\n'), id: this._id });
    }
    this._type = '';
    this._data = [];
    this._size = 0;
  }
}
