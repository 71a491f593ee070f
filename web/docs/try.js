import { code, h, pretty } from './dom.js'

// A request that can be changed and sent. It goes to this server only, with
// the token that was typed in; the token is kept in this page and nowhere else.

let token = ''

/** Whether sending makes sense: a stream would never end here. */
export const canTry = (op) => !Object.values(op.responses).some((r) => r.content?.['text/event-stream']) && !op.responses['101']

/** The form of one operation. */
export function tryForm(method, base, path, op) {
  const inputs = (op.parameters ?? []).map((p) => ({ p, el: h('input', { name: p.name, value: p.in === 'path' ? String(p.example ?? '') : '', placeholder: String(p.example ?? '') }) }))
  const media = op.requestBody?.content?.['application/json']
  const body = media && h('textarea', { rows: '8', 'aria-label': 'Body', spellcheck: 'false' })
  if (body) body.value = pretty(media.example ?? {})
  const result = h('div', { role: 'status' })
  const send = async (event) => {
    event.preventDefault()
    let url = base + path
    const query = new URLSearchParams()
    const headers = {}
    for (const { p, el } of inputs) {
      if (p.in === 'path') url = url.replace(`{${p.name}}`, encodeURIComponent(el.value))
      else if (el.value !== '' && p.in === 'query') query.set(p.name, el.value)
      else if (el.value !== '') headers[p.name] = el.value
    }
    if (query.size > 0) url += `?${query}`
    if (token) headers.Authorization = `Bearer ${token}`
    if (body) headers['Content-Type'] = 'application/json'
    result.replaceChildren('Sending…')
    try {
      const res = await fetch(url, { method: method.toUpperCase(), headers, body: body ? body.value : undefined })
      const text = await res.text()
      let shown = text
      try { shown = pretty(JSON.parse(text)) } catch { /* not JSON: shown as it is */ }
      result.replaceChildren(h('p', null, `${res.status} ${res.statusText}`), shown ? code(shown, 'Answer') : '')
    } catch {
      result.replaceChildren('The server did not answer.')
    }
  }
  return h('details', null, h('summary', null, 'Try it'), h('form', { onsubmit: send },
    inputs.map(({ p, el }) => h('label', null, `${p.name} (${p.in})`, el)),
    body && h('label', null, 'Body', body),
    h('button', null, `Send ${method.toUpperCase()}`), result))
}

/** The field for the access token. */
export function tokenField() {
  const el = h('input', { type: 'password', autocomplete: 'off', placeholder: 'for Try it; kept in this page only' })
  el.addEventListener('input', () => { token = el.value.trim() })
  return h('label', { class: 'token' }, 'Access token', el)
}
