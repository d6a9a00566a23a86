import { Check, Errors } from 'typebox/schema'
import { runInNewContext } from 'node:vm'
import type { JsonDraft } from '../kiro/json-members.ts'
import { isJsonObject } from '../kiro/json-object.ts'
import {
  type AnswerSchema,
  parseAnswerSchema,
  readAnswerSchema,
  toPattern
} from './answer-schema.ts'
import { schemasIn } from './schema-words.ts'

/** What an answer in JSON must be. */
export type JsonForm =
  | { readonly type: 'value' | 'object' }
  /** The schema is kept as JSON text: as objects it would take many times the memory for as long as the answer lasts. */
  | { readonly type: 'schema'; readonly schemaJson: string }

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
  return { type: 'schema', schemaJson: readAnswerSchema(schema, path) }
}

/** Problems that are told; the first ones explain most of the others. */
const MAX_PROBLEMS = 8
const MAX_PROBLEM_CHARS = 300

/** What a check found. */
export interface AnswerCheck {
  /** What keeps the text from being the JSON that was asked for, in words for the model; nothing when it is. */
  readonly problems: readonly string[]
  /**
   * False when the check had to be given up: it is JSON, but patterns or references of the schema cost too much. That
   * is no mistake of the model's.
   */
  readonly isComplete: boolean
}

/** Checks a text against what was asked for, here and now, and gives up after so many milliseconds. */
export function checkAnswer(text: string, form: JsonForm, timeoutMs: number): AnswerCheck {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'unreadable'
    return complete([`it is no valid JSON (${detail})`])
  }
  if (form.type === 'schema')
    return checkValue(value, parseAnswerSchema(form.schemaJson), timeoutMs)
  return complete(form.type === 'value' || isJsonObject(value) ? [] : ['it is no JSON object'])
}

function complete(problems: readonly string[]): AnswerCheck {
  return { problems, isComplete: true }
}

function checkValue(value: unknown, schema: AnswerSchema, timeoutMs: number): AnswerCheck {
  const prepared = forValidator(schema)
  const check = (): readonly string[] => {
    if (Check(prepared, value)) return []
    const [, errors] = Errors(prepared, value)
    return errors.slice(0, MAX_PROBLEMS).map(({ instancePath, message }) => {
      const place = instancePath === '' ? 'the whole' : instancePath
      return `${place}: ${message}`.slice(0, MAX_PROBLEM_CHARS)
    })
  }
  try {
    return complete(runWithin(timeoutMs, check))
  } catch (error) {
    // A watchdog's end, or a recursion without end; anything else is a bug.
    const isEndless = error instanceof RangeError || isTimeout(error)
    if (isEndless) return { problems: [], isComplete: false }
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

/**
 * The schema in the validator's words: it would take all patterns for Unicode ones, and knows no `nullable`. Takes the
 * schema, which must be nobody else's.
 */
function forValidator(schema: AnswerSchema): AnswerSchema {
  if (typeof schema === 'boolean') return schema
  const copy: JsonDraft = { ...schema }
  const open = [copy]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const pattern = toPattern(next['pattern'])
    if (pattern !== null) next['pattern'] = pattern
    for (const { value } of schemasIn(next, '')) if (isJsonObject(value)) open.push(value)
    if (next['nullable'] === true) allowNull(next)
  }
  return copy
}

/** `nullable` is OpenAPI's; the helper of OpenAI's SDK for schemas of Zod 3 says it, too. */
function allowNull(schema: JsonDraft): void {
  const { type, enum: values, anyOf, allOf } = schema
  if (type !== undefined) schema['type'] = [type, 'null'].flat()
  if (Array.isArray(values)) schema['enum'] = [...values, null]
  if (!Array.isArray(allOf) || anyOf !== undefined) return
  schema['anyOf'] = [{ allOf }, { type: 'null' }]
  delete schema['allOf']
}
