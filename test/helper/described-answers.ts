import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'

type Json = Readonly<Record<string, unknown>>

/** Where a schema stands in a description: names of members from its root. */
export type SchemaPlace = readonly (string | number)[]

/**
 * Checks values against schemas of a description. Stricter than that says: an object may have no member that is not named,
 * or a member that nobody described would not show.
 */
export class DescribedAnswers {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: false })
  readonly #checks = new Map<string, ValidateFunction>()

  constructor(description: object) {
    this.#ajv.addFormat('date-time', (text) => !Number.isNaN(Date.parse(text)))
    this.#ajv.addSchema({ $id: 'urn:kiro-gateway:api', ...closed(description) })
  }

  /** What is wrong with a value; `''` for nothing. */
  problemOf(value: unknown, place: SchemaPlace): string {
    const pointer = place.map((one) => `/${escapePointer(String(one))}`).join('')
    const check =
      this.#checks.get(pointer) ??
      this.#ajv.compile({ $ref: `urn:kiro-gateway:api#${encodeURI(pointer)}` })
    this.#checks.set(pointer, check)
    if (check(value)) return ''
    return `${this.#ajv.errorsText(check.errors)} in ${JSON.stringify(value)}`
  }
}

function escapePointer(token: string): string {
  return token.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** Requests stay open: they may have members that mean nothing. */
const OPEN = /Request$/

function closed(description: object): Json {
  const visit = (value: unknown, name: string): unknown => {
    if (Array.isArray(value)) return value.map((one) => visit(one, ''))
    if (!isJson(value) || OPEN.test(name)) return value
    const members = Object.entries(value).map(([key, one]) => [key, visit(one, key)])
    const isOpen = value['type'] !== 'object' || 'additionalProperties' in value
    return { ...Object.fromEntries(members), ...(!isOpen && { additionalProperties: false }) }
  }
  const all = visit(description, '')
  return isJson(all) ? all : {}
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
