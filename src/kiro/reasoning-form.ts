import { EFFORTS, isEffort, type Effort } from './effort.ts'
import { getOwn } from './json-members.ts'
import { isJsonObject, type JsonObject } from './json-object.ts'
import type { ResolvedModel } from './model-resolution.ts'

/** How a model takes wishes about its own reasoning (kiro-protocol §9.2). */
export type NativeForm = NativeKind & { readonly maxTokens?: TokenBounds }

export type NativeKind =
  | { readonly type: 'none' }
  | ClaudeForm
  | { readonly type: 'gpt'; readonly efforts: readonly Effort[]; readonly takesNone: boolean }

export interface ClaudeForm {
  readonly type: 'claude'
  /** Empty where effort cannot be set. */
  readonly efforts: readonly Effort[]
  readonly displays: readonly string[]
  readonly takesDisabled: boolean
}

export interface TokenBounds {
  readonly least: number
  readonly most: number
}

const WITH_XHIGH: readonly Effort[] = ['low', 'medium', 'high', 'xhigh', 'max']
const WITHOUT_XHIGH: readonly Effort[] = ['low', 'medium', 'high', 'max']

/** For models of which no schema is known. */
const FALLBACK: readonly (readonly [RegExp, NativeKind])[] = [
  [/^claude-(?:opus-(?:5|4\.[78])|sonnet-5|fable-5)(?:-1m)?$/, claude(WITH_XHIGH, ['summarized'])],
  [/^claude-(?:opus|sonnet)-4\.6(?:-1m)?$/, claude(WITHOUT_XHIGH, [])],
  [/^gpt-/, { type: 'gpt', efforts: WITH_XHIGH, takesNone: true }]
]

/** The form that the model's schema declares; the fallback table's where the upstream sent no schema. */
export function nativeForm({ id, facts }: ResolvedModel): NativeForm {
  const schema = facts?.requestFieldsSchema
  if (schema === undefined) {
    return FALLBACK.find(([pattern]) => pattern.test(id.toLowerCase()))?.[1] ?? { type: 'none' }
  }
  const bounds = tokenBounds(schemaAt(schema, 'max_tokens'))
  return { ...declaredForm(schema), ...(bounds === undefined ? {} : { maxTokens: bounds }) }
}

function declaredForm(schema: JsonObject): NativeKind {
  const reasoning = schemaAt(schema, 'reasoning')
  if (reasoning !== undefined) {
    const words = enumOf(schemaAt(reasoning, 'effort')) ?? WITH_XHIGH
    return { type: 'gpt', efforts: words.filter(isEffort), takesNone: words.includes('none') }
  }
  const thinking = schemaAt(schema, 'thinking')
  const types = enumOf(schemaAt(thinking, 'type')) ?? ['adaptive']
  if (thinking === undefined || !types.includes('adaptive')) return { type: 'none' }
  const effort = schemaAt(schemaAt(schema, 'output_config'), 'effort')
  const display = schemaAt(thinking, 'display')
  return {
    type: 'claude',
    efforts: effort === undefined ? [] : (enumOf(effort) ?? EFFORTS).filter(isEffort),
    displays: display === undefined ? [] : (enumOf(display) ?? ['summarized', 'omitted']),
    takesDisabled: types.includes('disabled')
  }
}

function claude(efforts: readonly Effort[], displays: readonly string[]): ClaudeForm {
  return { type: 'claude', efforts, displays, takesDisabled: true }
}

function tokenBounds(schema: JsonObject | undefined): TokenBounds | undefined {
  if (schema === undefined) return undefined
  const { minimum, maximum } = schema
  return {
    least: typeof minimum === 'number' ? minimum : 1,
    most: typeof maximum === 'number' ? maximum : Number.MAX_SAFE_INTEGER
  }
}

/** The schema of a member; undefined where it is not declared. */
function schemaAt(schema: JsonObject | undefined, name: string): JsonObject | undefined {
  const properties = schema?.['properties']
  const member = isJsonObject(properties) ? getOwn(properties, name) : undefined
  return isJsonObject(member) ? member : undefined
}

function enumOf(schema: JsonObject | undefined): readonly string[] | undefined {
  const values = schema?.['enum']
  return Array.isArray(values) ? values.filter((value) => typeof value === 'string') : undefined
}
