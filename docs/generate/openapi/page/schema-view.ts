import { type JsonSchema, nameOfRef } from '../json-schema.ts'
import { html, type Markup, phrase } from './markup.ts'

/** Shows a schema as a list of members; named ones are links. */
export function schemaView(schema: JsonSchema): Markup {
  const { description, properties } = schema
  const said = typeof description === 'string' ? html`<p>${phrase(description)}</p>` : html``
  if (isMembers(properties)) return html`${said}${membersView(schema, properties)}`
  const inner = unionOf(schema).filter(({ properties: members }) => isMembers(members))
  return html`${said}<p class="type">${typeView(schema)}</p>${inner.map(schemaView)}`
}

function membersView(
  { required }: JsonSchema,
  members: Readonly<Record<string, JsonSchema>>
): Markup {
  const needed: readonly unknown[] = Array.isArray(required) ? required : []
  const rows = Object.entries(members).map(([name, member]) => {
    const mark = needed.includes(name) ? html`` : html` <span class="optional">optional</span>`
    const { description } = member
    const said = typeof description === 'string' ? html`<p>${phrase(description)}</p>` : html``
    const inside = insideView(member)
    return html`<dt><code>${name}</code> <span class="type">${typeView(member)}</span>${mark}</dt><dd>${said}${inside}</dd>`
  })
  return html`<dl>${rows}</dl>`
}

/** The members of what has no name of its own. */
function insideView(member: JsonSchema): Markup {
  const inner = nestedIn(member).map(({ required, properties }) =>
    schemaView({ required, properties })
  )
  return inner.length === 0 ? html`` : html`<details><summary>members</summary>${inner}</details>`
}

function nestedIn(schema: JsonSchema): readonly JsonSchema[] {
  const { properties, items } = schema
  if (isMembers(properties)) return Object.keys(properties).length > 0 ? [schema] : []
  if (isSchema(items)) return nestedIn(items)
  return unionOf(schema).flatMap(nestedIn)
}

/** In a few words what may stand there. */
function typeView(schema: JsonSchema): Markup {
  const name = nameOfRef(schema)
  if (name !== null) return html`<a href="#${name}">${name}</a>`
  const { type, items, enum: values, const: value } = schema
  const union = unionOf(schema)
  if (union.length > 0) return joined(union.map(typeView), html` or `)
  if (value !== undefined) return html`<code>${JSON.stringify(value)}</code>`
  if (Array.isArray(values)) {
    const words = values.map((one: unknown) => html`<code>${JSON.stringify(one)}</code>`)
    return joined(words, html` `)
  }
  if (type === 'array') return isSchema(items) ? html`list of ${typeView(items)}` : html`list`
  return html`${typeof type === 'string' ? type : 'anything'}`
}

function joined(parts: readonly Markup[], between: Markup): Markup {
  return html`${parts.flatMap((part, i) => (i === 0 ? [part] : [between, part]))}`
}

function unionOf({ anyOf }: JsonSchema): readonly JsonSchema[] {
  return Array.isArray(anyOf) ? anyOf.filter(isSchema) : []
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isMembers(value: unknown): value is Readonly<Record<string, JsonSchema>> {
  return isSchema(value) && Object.values(value).every(isSchema)
}
