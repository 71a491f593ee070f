// A parser of server-sent events that follows the HTML standard to the letter:
// CR, LF and CRLF, also split between chunks; a BOM at the start; comments;
// id-only blocks; ids with NUL ignored; an unfinished block at the end dropped.

/** A block larger than this is not ours. */
const MAX_BLOCK = 8 * 1024 * 1024;

/** @typedef {import('../index.d.ts').SSEMessage} SSEMessage */

/** Parses one stream; make a new one for each response. */
export class SSEParser {
  /** The id to resume from; id-only blocks change it too. */
  lastEventId = '';
  /** @type {number | null} */
  retry = null;
  #id = '';
  #type = '';
  /** @type {string[]} */
  #data = [];
  /** An unfinished line. */
  #rest = '';
  #size = 0;
  // ignoreBOM keeps it in the text: only one at the very start is dropped.
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #start = /^\ufeff/;

  /**
   * Takes a chunk, bytes or text, and returns the messages it finished.
   * @param {Uint8Array | string} chunk
   * @returns {SSEMessage[]}
   */
  push(chunk) {
    let text = typeof chunk === 'string' ? chunk : this.#decoder.decode(chunk, { stream: true });
    if (text === '') return [];
    text = text.replace(this.#start, '');
    // The LF of a CRLF that was cut in two ends no line of its own.
    this.#start = text.endsWith('\r') ? /^\n/ : /^$/;
    const lines = text.split(/\r\n?|\n/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop() ?? '';
    /** @type {SSEMessage[]} */
    const out = [];
    for (const line of lines) this.#line(line, out);
    if (this.#rest.length + this.#size > MAX_BLOCK) throw new RangeError('block too large');
    return out;
  }

  /**
   * @param {string} line
   * @param {SSEMessage[]} out
   */
  #line(line, out) {
    if (line === '') {
      this.lastEventId = this.#id;
      if (this.#data.length > 0) out.push({ type: this.#type || 'message', data: this.#data.join('\n'), id: this.#id });
      this.#type = '';
      this.#data = [];
      this.#size = 0;
      return;
    }
    const [, field, value] = /** @type {RegExpExecArray} */ (/^([^:]*):? ?([^]*)$/.exec(line));
    switch (field) {
      case 'event':
        this.#type = value;
        break;
      case 'data':
        this.#data.push(value);
        this.#size += value.length;
        break;
      case 'id':
        if (!value.includes('\0')) this.#id = value;
        break;
      case 'retry':
        if (/^\d+$/.test(value)) this.retry = Number(value);
    }
  }
}
