import { code, h, pretty } from './dom.js'
import { fields, parameters } from './schema.js'
import { canTry, tokenField, tryForm } from './try.js'

// The API's document, shown. Everything comes from this server: the page loads
// nothing else, and its policy would not let it.

const source = '/api/v2/openapi.json'
const methods = ['get', 'post', 'put', 'patch', 'delete']

function examples(media) {
  if (media.examples) return Object.entries(media.examples).map(([name, e]) => [name, e.value])
  return media.example === undefined ? [] : [['example', media.example]]
}

function answer(status, res, schemas) {
  const parts = Object.entries(res.content ?? {}).flatMap(([type, media]) => [
    h('p', null, h('code', null, type)),
    ...(type === 'application/problem+json' ? [] : fields(media.schema ?? {}, schemas, 'Fields')),
    ...examples(media).map(([name, value]) => code(pretty(value), `Example ${name}`)),
  ])
  return h('details', null, h('summary', null, h('b', { class: status < '400' ? 'good' : 'bad' }, status), ` ${res.description ?? ''}`), parts)
}

function operation(doc, path, method, op) {
  const base = op.servers?.[0]?.url ?? doc.servers?.[0]?.url ?? ''
  const schemas = doc.components?.schemas ?? {}
  const media = op.requestBody?.content?.['application/json']
  const full = (base === '/' ? '' : base) + path
  return h('section', { id: op.operationId, 'aria-labelledby': `${op.operationId}-title` },
    h('h3', { id: `${op.operationId}-title` }, h('span', { class: `method ${method}` }, method.toUpperCase()), ' ', h('code', null, full)),
    h('p', null, h('b', null, op.summary), '. ', op.security?.length ? '' : h('em', null, 'Needs no sign-in. ')),
    op.description && h('p', null, op.description),
    op.parameters?.length ? parameters(op.parameters) : null,
    media && [...fields(media.schema ?? {}, schemas, 'Body'), ...examples(media).map(([name, v]) => code(pretty(v), `Body, ${name}`))],
    h('h4', null, 'Answers'),
    Object.entries(op.responses).sort().map(([status, res]) => answer(status, res, schemas)),
    canTry(op) && tryForm(method, base === '/' ? '' : base, path, op))
}

function show(doc) {
  const main = document.querySelector('main')
  const nav = document.querySelector('nav')
  const tags = new Map()
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of methods) {
      const op = item[method]
      if (!op) continue
      const tag = op.tags?.[0] ?? 'Other'
      if (!tags.has(tag)) tags.set(tag, [])
      tags.get(tag).push({ path, method, op })
    }
  }
  const sorted = [...tags].sort(([a], [b]) => a.localeCompare(b))
  nav.replaceChildren(...sorted.flatMap(([tag, ops]) => [h('h2', null, tag), h('ul', null, ops.map(({ op }) =>
    h('li', null, h('a', { href: `#${op.operationId}` }, op.summary))))]))
  main.replaceChildren(
    h('h1', null, `${doc.info.title} API `, h('small', null, doc.info.version)),
    h('p', null, doc.info.description ?? ''),
    h('p', null, h('a', { href: source }, 'The document (OpenAPI 3.1)'), ' · ', h('a', { href: '/api/docs/migrating-to-v2' }, 'From v1 to v2')),
    tokenField(),
    ...sorted.flatMap(([tag, ops]) => [h('h2', null, tag), ...ops.map(({ path, method, op }) => operation(doc, path, method, op))]))
  main.removeAttribute('aria-busy')
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView()
}

try {
  const res = await fetch(source)
  if (!res.ok) throw new Error(String(res.status))
  show(await res.json())
} catch {
  document.querySelector('main').replaceChildren(h('p', { role: 'alert' }, 'The document could not be read. ', h('a', { href: '' }, 'Try again')))
}
