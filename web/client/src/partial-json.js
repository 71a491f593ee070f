// A lenient reader of a JSON document that is still being written.

const MAX_DEPTH = 64;

/**
 * Reads as much of an unfinished JSON document as is certain: finished parts
 * whole, an unfinished string as far as it goes, an unfinished key, literal or
 * escape not at all. What follows the first mistake is left out. It never
 * throws; without any value it returns undefined.
 * @param {string} text
 * @returns {any}
 */
export function readPartialJSON(text) {
  return new Reader(text).value(0);
}

class Reader {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.pos = text.charCodeAt(0) === 0xfeff ? 1 : 0;
    /** Set at the end of the text or at a mistake: nothing more is read. */
    this.done = false;
  }

  space() {
    while (this.pos < this.text.length && ' \t\r\n'.includes(this.text[this.pos])) this.pos++;
    if (this.pos >= this.text.length) this.done = true;
  }

  /**
   * @param {number} depth
   * @returns {any}
   */
  value(depth) {
    this.space();
    if (this.done) return undefined;
    const c = this.text[this.pos];
    if (c === '"') return this.string().value;
    if ((c === '{' || c === '[') && depth >= MAX_DEPTH) return this.fail();
    if (c === '{') return this.object(depth);
    if (c === '[') return this.array(depth);
    return this.literal();
  }

  /** @returns {undefined} */
  fail() {
    this.done = true;
    return undefined;
  }

  /** @param {number} depth */
  object(depth) {
    /** @type {Record<string, any>} */
    const out = {};
    this.pos++;
    for (let first = true; ; first = false) {
      this.space();
      if (this.done) return out;
      if (this.text[this.pos] === '}') {
        this.pos++;
        return out;
      }
      if (!first) {
        if (this.text[this.pos] !== ',') return this.fail(), out;
        this.pos++;
        this.space();
      }
      if (this.done || this.text[this.pos] !== '"') return this.fail(), out;
      const key = this.string();
      if (!key.whole) return out;
      this.space();
      if (this.done || this.text[this.pos] !== ':') return this.fail(), out;
      this.pos++;
      const v = this.value(depth + 1);
      if (v !== undefined) {
        // As JSON.parse does: "__proto__" is a name like any other.
        Object.defineProperty(out, key.value, { value: v, writable: true, enumerable: true, configurable: true });
      }
      if (this.done) return out;
    }
  }

  /** @param {number} depth */
  array(depth) {
    /** @type {any[]} */
    const out = [];
    this.pos++;
    for (let first = true; ; first = false) {
      this.space();
      if (this.done) return out;
      if (this.text[this.pos] === ']') {
        this.pos++;
        return out;
      }
      if (!first) {
        if (this.text[this.pos] !== ',') return this.fail(), out;
        this.pos++;
      }
      const v = this.value(depth + 1);
      if (v !== undefined) out.push(v);
      if (this.done) return out;
    }
  }

  /** @returns {{ value: string, whole: boolean }} */
  string() {
    let out = '';
    for (this.pos++; this.pos < this.text.length; this.pos++) {
      const c = this.text[this.pos];
      if (c === '"') {
        this.pos++;
        return { value: out, whole: true };
      }
      if (c !== '\\') {
        out += c;
        continue;
      }
      const e = this.text[++this.pos];
      if (e === undefined) break;
      if (e === 'u') {
        const hex = this.text.slice(this.pos + 1, this.pos + 5);
        if (!/^[0-9a-fA-F]{4}$/.test(hex)) break;
        out += String.fromCharCode(parseInt(hex, 16));
        this.pos += 4;
        continue;
      }
      const plain = ESCAPES[e];
      if (plain === undefined) break;
      out += plain;
    }
    this.done = true;
    // Half of a surrogate pair would show as a box until its other half comes.
    const tail = out.charCodeAt(out.length - 1);
    if (tail >= 0xd800 && tail <= 0xdbff) out = out.slice(0, -1);
    return { value: out, whole: false };
  }

  literal() {
    const m = /^[^\s,\]}":{[]+/.exec(this.text.slice(this.pos, this.pos + 400));
    if (!m) return this.fail();
    const word = m[0];
    const open = this.pos + word.length >= this.text.length;
    this.pos += word.length;
    if (open) this.done = true;
    if (word === 'true') return true;
    if (word === 'false') return false;
    if (word === 'null') return null;
    // At the end of the text more digits may follow; show what is there only
    // when it is closed, since 1 is not "so far" of 100.
    if (!open && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(word)) return Number(word);
    return this.fail();
  }
}

/** @type {Record<string, string>} */
const ESCAPES = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
