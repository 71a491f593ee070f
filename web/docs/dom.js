// A few lines in place of a library: elements are made, never parsed, so no
// text of the document can become markup.

/** Makes an element: h('p', {class: 'x', onclick: f}, 'text', child). */
export function h(name, props, ...children) {
  const el = document.createElement(name)
  for (const [key, value] of Object.entries(props ?? {})) {
    if (key.startsWith('on')) el.addEventListener(key.slice(2), value)
    else if (value === true) el.setAttribute(key, '')
    else if (value !== false && value != null) el.setAttribute(key, value)
  }
  el.append(...children.flat().filter((c) => c != null && c !== false))
  return el
}

/** JSON with two spaces, other text as it is. */
export const pretty = (value) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2))

/** A box of code that can be reached and scrolled by keyboard. */
export const code = (text, label) => h('pre', { tabindex: '0', role: 'region', 'aria-label': label }, h('code', null, text))
