import type { Case } from '../suite.ts'
import type { Mismatch, TypeChecker } from './check-type.ts'

/** Which types an answer has: whole, each event of a stream, and an error. */
export interface AnswerKind {
  readonly whole: string
  readonly event?: string
  readonly error: string
}

export interface AnswerCheckerOptions {
  readonly types: TypeChecker
  /** What is answered at a path of the gateway. */
  readonly kindOf: (path: string) => AnswerKind
  /** Mismatches that are there on purpose. */
  readonly allowed: readonly RegExp[]
}

/** Compares every answer that a vendor's SDK receives with the types that the same SDK declares. */
export class AnswerChecker {
  readonly #options: AnswerCheckerOptions
  readonly #mismatches: Mismatch[] = []

  constructor(options: AnswerCheckerOptions) {
    this.#options = options
  }

  /** For the SDK, in place of the global `fetch`. It gets each answer when it is whole. */
  readonly fetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    const text = await response.text()
    const { pathname } = new URL(response.url)
    this.#mismatches.push(...this.#checkAnswer(this.#options.kindOf(pathname), response, text))
    return new Response(text, response)
  }

  /** Runs something with the SDK; resolves with all that was wrong with it or with the answers that it got. */
  async attempt(name: string, action: () => Promise<unknown>): Promise<Case> {
    const failure = await action().then(
      () => [],
      (error: unknown) => [String(error)]
    )
    const mismatches = this.#mismatches
      .splice(0)
      .map((mismatch) => mismatch.replaceAll(/\[\d+\]/g, '[]'))
    const { allowed } = this.#options
    const wrong = mismatches.filter((one) => !allowed.some((pattern) => pattern.test(one)))
    const problems = [...failure, ...wrong]
    return { name, problem: problems.length === 0 ? null : [...new Set(problems)].join('; ') }
  }

  #checkAnswer(kind: AnswerKind, response: Response, text: string): readonly Mismatch[] {
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
    if (!isStream) return this.#check(JSON.parse(text), response.ok ? kind.whole : kind.error)
    const { event } = kind
    if (event === undefined) return ['is a stream']
    return eventsIn(text).flatMap((one) => {
      // Chat Completions has no other form for an error in a stream than that of a whole answer.
      if (!('type' in one) && 'error' in one) return this.#check(one, kind.error)
      const label = typeof one['type'] === 'string' ? `${one['type']} ` : 'chunk '
      return this.#check(one, event).map((mismatch) => label + mismatch)
    })
  }

  #check(value: unknown, property: string): readonly Mismatch[] {
    return this.#options.types.check(value, 'AnswerTypes', property)
  }
}

function eventsIn(text: string): readonly Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]')
    .map((line) => JSON.parse(line.slice('data: '.length)) as Record<string, unknown>)
}
