import { Check, Errors } from 'typebox/schema'
import { runInNewContext } from 'node:vm'
import { isJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { type AnswerSchema, readAnswerSchema, toPattern } from './answer-schema.ts'
import { schemasIn } from './schema-words.ts'

/** What an answer in JSON must be. */
export type JsonForm =
  | { readonly type: 'value' | 'object' }
  | { readonly type: 'schema'; readonly schema: AnswerSchema }

/** How a client asks for JSON, in any dialect. */
export interface JsonFormat {
  readonly type: string
  readonly schema?: unknown
}

/**
 * What a client's format asks for; `undefined` where it does not ask for JSON. `path` leads to the schema.
 *
 * @throws {GatewayError} GW_BODY_INVALID for a schema that is none.
 */
export function readJsonForm(format: JsonFormat | undefined, path: string): JsonForm | undefined {
  if (format?.type === 'json_object') return { type: 'object' }
  if (format?.type !== 'json_schema') return undefined
  const { schema } = format
  if (schema === undefined || schema === null) return { type: 'value' }
  return { type: 'schema', schema: readAnswerSchema(schema, path) }
}

/** Problems that are told; the first ones explain most of the others. */
const MAX_PROBLEMS = 8
const MAX_PROBLEM_CHARS = 300

/**
 * Longest check. Patterns and references of a client's schema can make it take for ever, and meanwhile nothing
 * else happens here; sensible ones take a few milliseconds.
 */
const CHECK_MS = 250

const TOO_COSTLY =
  'the schema could not be checked in time; its patterns or references are too costly'

/** What keeps a text from being the JSON that was asked for, in words for the model; nothing when it is. */
export function problemsOf(text: string, form: JsonForm): readonly string[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return [`it is no valid JSON (${error instanceof Error ? error.message : 'unreadable'})`]
  }
  if (form.type === 'schema') return problemsWith(value, form.schema)
  return form.type === 'value' || isJsonObject(value) ? [] : ['it is no JSON object']
}

function problemsWith(value: unknown, schema: AnswerSchema): readonly string[] {
  const prepared = withPatterns(schema)
  const check = (): readonly string[] => {
    if (Check(prepared, value)) return []
    const [, errors] = Errors(prepared, value)
    return errors.slice(0, MAX_PROBLEMS).map(({ instancePath, message }) => {
      const place = instancePath === '' ? 'the whole' : instancePath
      return `${place}: ${message}`.slice(0, MAX_PROBLEM_CHARS)
    })
  }
  try {
    return runWithin(CHECK_MS, check)
  } catch (error) {
    // A watchdog's end, or a recursion without end; anything else is a bug.
    const isEndless = error instanceof RangeError || isTimeout(error)
    if (isEndless) return [TOO_COSTLY]
    throw error
  }
}

/** Runs a function here and now and ends it by force when it takes too long, even inside a regular expression. */
function runWithin<T>(timeoutMs: number, run: () => T): T {
  const outcome: { value?: T } = {}
  runInNewContext('run()', { run: () => void (outcome.value = run()) }, { timeout: timeoutMs })
  if ('value' in outcome) return outcome.value
  throw new Error('the check did not end')
}

/** It is an error of the other context, so no instance of ours. */
function isTimeout(error: unknown): boolean {
  const isObject = typeof error === 'object' && error !== null
  return isObject && 'code' in error && error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}

/** The schema with its patterns compiled, since the validator would take all of them for Unicode ones. */
function withPatterns(schema: AnswerSchema): AnswerSchema {
  if (typeof schema === 'boolean') return schema
  const copy = structuredClone(schema)
  const open: JsonObject[] = [copy]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const pattern = toPattern(next['pattern'])
    if (pattern !== null) Reflect.set(next, 'pattern', pattern)
    for (const { value } of schemasIn(next, '')) if (isJsonObject(value)) open.push(value)
  }
  return copy
}
