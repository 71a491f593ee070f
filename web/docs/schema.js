import { h } from './dom.js'

// How a JSON schema is shown: one row per field, referenced schemas by name.

const named = (schema) => schema.$ref?.split('/').pop()

/** A schema's type in a few words: "list of Turn", "string (uuid)". */
export function typeOf(schema) {
  if (!schema) return 'anything'
  if (named(schema)) return named(schema)
  const some = schema.anyOf ?? schema.oneOf
  if (some) return some.map(typeOf).join(' or ')
  if (schema.type === 'array') return `list of ${typeOf(schema.items)}`
  const type = [schema.type ?? 'anything'].flat().join(' or ')
  return schema.format ? `${type} (${schema.format})` : type
}

/** The bounds of a schema in words. */
function bounds(schema) {
  const out = []
  if (schema.enum) out.push(`one of ${schema.enum.join(', ')}`)
  if (schema.default !== undefined) out.push(`default ${schema.default}`)
  for (const [key, word] of [['minLength', 'at least'], ['maxLength', 'at most']]) if (schema[key] != null) out.push(`${word} ${schema[key]} characters`)
  for (const [key, word] of [['minimum', 'at least'], ['maximum', 'at most']]) if (schema[key] != null) out.push(`${word} ${schema[key]}`)
  return out.join('; ')
}

const row = (name, schema, needed, text) => h('tr', null,
  h('th', { scope: 'row' }, name, needed ? '' : h('small', null, ' optional')),
  h('td', null, typeOf(schema)),
  h('td', null, [text ?? schema.description, bounds(schema)].filter(Boolean).join('. ')))

/** The table of an operation's parameters. */
export const parameters = (list) => h('table', null, h('caption', null, 'Parameters'),
  h('tbody', null, list.map((p) => row(`${p.name} (${p.in})`, p.schema ?? {}, p.required, p.description))))

/** The table of a schema's fields, and those of the schemas that it names. */
export function fields(schema, schemas, caption, seen = new Set()) {
  const name = named(schema)
  if (name && seen.has(name)) return []
  if (name) seen.add(name)
  const s = name ? schemas[name] : schema
  const below = [s?.items, s?.additionalProperties, ...(s?.anyOf ?? []), ...(s?.oneOf ?? []), ...Object.values(s?.properties ?? {})]
    .filter((x) => x && typeof x === 'object')
  const nested = below.flatMap((x) => fields(x, schemas, named(x) ?? caption, seen))
  if (!s?.properties) return nested
  const table = h('table', null, h('caption', null, name ?? caption), h('tbody', null,
    Object.entries(s.properties).filter(([key]) => key !== '$schema').map(([key, v]) => row(key, v, s.required?.includes(key)))))
  return [table, ...nested]
}
