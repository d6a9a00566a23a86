import type { AssistantTurn, RequestView, UserTurn } from '../../../src/simulator/request-view.ts'
import { instructedSchema } from '../../../src/kiro/conversation/json-instruction.ts'
import { asJsonObject, type JsonObject } from '../../../src/shared/json.ts'
import { offeredTools } from '../../../src/simulator/request-view.ts'
import { findWishedCalls } from '../../../src/simulator/wished-calls.ts'
import { findControlWords } from '../../../src/simulator/words.ts'
import { say } from '../../helper/simulated-words.ts'
import { type Hint, sampleJson } from './sample-json.ts'

/** Longest text of a document that is repeated. */
const MAX_QUOTED_CHARS = 20_000

/**
 * What a model that follows its prompt would do with a request, in the words of the simulator: it calls the tools that
 * are needed, each once, answers in the JSON that is asked for, and says what it sees. `null` leaves the answer to the simulator,
 * as does a prompt that tells the simulator itself what to do.
 */
export function actOn(view: RequestView, documentTexts: readonly string[]): string | null {
  if (hasOwnWords(view)) return null
  const calls = dueCalls(view)
  if (calls.length > 0) return `use tools ${calls.map(wordCall).join(' and ')}`
  const schema = findSchema(view)
  if (schema !== null) return say(JSON.stringify(sampleJson(schema, NO_HINT, itemsIn(view))))
  const seen = describeAttachments(view.current, documentTexts)
  return seen === null ? null : say(seen)
}

function hasOwnWords(view: RequestView): boolean {
  const { content } = view.current
  const { numbers, say, next } = findControlWords(content)
  if (numbers.size > 0 || say !== null || next !== null) return true
  // Without arguments they are words of a suite: "use the calculator tool" means what a model would do.
  const hasArguments = /\bwith\s*\{/.test(content)
  if (hasArguments && findWishedCalls(content, offeredTools(view)).length > 0) return true
  return view.history.some(
    (turn) => turn.role === 'user' && findControlWords(turn.content).next !== null
  )
}

const NO_HINT: Hint = () => undefined

/** How long a list should be, for schemas that cannot say it: "a shopping list with 3 items". */
function itemsIn(view: RequestView): number | undefined {
  const [, count] = /\b(\d+) items\b/.exec(exchangeOf(view).question) ?? []
  return count === undefined ? undefined : Number(count)
}

interface Call {
  readonly name: string
  readonly input: unknown
}

/** All tools that the question names, at once; where it names none, one after the other. */
function dueCalls(view: RequestView): readonly Call[] {
  const { question, since } = exchangeOf(view)
  const called = new Set(since.flatMap(({ toolUses }) => toolUses.map(nameOf)))
  const left = offeredTools(view).filter(({ name }) => !called.has(name))
  const named = left.filter(({ name }) => question.includes(name))
  const due = named.length > 0 ? named : left.slice(0, 1)
  const hint = hintOf(question, view.current.toolResults)
  return due.map(({ name, schema }) => ({ name, input: sampleJson(schema, hint) }))
}

/** What the user asked last, and what the model has said since then. */
function exchangeOf({ history, current }: RequestView): {
  readonly question: string
  readonly since: readonly AssistantTurn[]
} {
  const turns = [...history, current]
  const start = turns.findLastIndex((turn) => turn.role === 'user' && turn.toolResults.length === 0)
  const since = turns.slice(Math.max(0, start)).filter((turn) => turn.role === 'assistant')
  return { question: turns[start]?.content ?? '', since }
}

function nameOf(toolUse: unknown): unknown {
  return asJsonObject(toolUse)?.['name']
}

/** Values that a model would take from the question or from the results of tools. */
function hintOf(question: string, results: readonly unknown[]): Hint {
  const found = numbersIn(results.length > 0 ? JSON.stringify(results.map(contentOf)) : question)
  return (name, { type }) => {
    if (name === 'expression') return /\d+\s*[-+*/]\s*\d+/.exec(question)?.[0]
    if (type === 'number' || type === 'integer') return found.shift()
    return name === 'city' || name === 'location' ? 'San Francisco' : undefined
  }
}

function contentOf(result: unknown): unknown {
  return asJsonObject(result)?.['content']
}

function numbersIn(text: string): number[] {
  return [...text.matchAll(/-?\d+(?:\.\d+)?/g)].map(([digits]) => Number(digits))
}

function wordCall({ name, input }: Call): string {
  return `${name} with ${JSON.stringify(input)}`
}

/** The schema of the last answer; `{…}` of its own where any JSON will do. */
function findSchema({ history, current }: RequestView): JsonObject | null {
  const texts = [...history, current].flatMap((turn) => (turn.role === 'user' ? turn.content : []))
  const schema = texts.map(instructedSchema).findLast((found) => found !== null) ?? null
  return schema !== null && Object.keys(schema).length === 0 ? ANY_OBJECT : schema
}

const ANY_OBJECT = { type: 'object', properties: { answer: { type: 'string' } } }

/** The simulator has no eyes: every picture is of a cat, as the one is that suites show. */
function describeAttachments(current: UserTurn, documentTexts: readonly string[]): string | null {
  const pictures = current.images.map(() => 'It shows a cat.')
  const texts = documentTexts.map((text) => `It says: ${text.slice(0, MAX_QUOTED_CHARS)}`)
  const said = [...pictures, ...texts]
  return said.length === 0 ? null : said.join(' ')
}
