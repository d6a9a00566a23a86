import type { Asker, Outcome } from './asker.ts'

/** Meaning of an answer class for the operator. */
export interface AnswerClass {
  readonly means: string
  /** Remedy; `null` if nothing needs to change. */
  readonly change: string | null
}

/** One question to the live upstream. */
export interface Probe {
  readonly id: string
  readonly question: string
  /** Every answer that there may be, by its name. docs/doctor.md has them all. */
  readonly answers: Readonly<Record<string, AnswerClass>>
  /** Why it is not asked of this account now; `null` where it is. */
  skip(asker: Asker): string | null
  /** Resolves with the name of the answer. @throws {ProbesStopped} */
  ask(asker: Asker): Promise<string>
}

/** Result of a probe. */
export interface ProbeResult extends AnswerClass {
  readonly id: string
  readonly question: string
  /** The name of the answer, or `skipped`, or `stopped`. */
  readonly answer: string
  /** Requests sent for it, with their outcomes. */
  readonly calls: readonly ProbeCall[]
}

/** As it is told: for a report to the project. Never a word of what was sent or answered. */
export interface ProbeCall extends Pick<Outcome, 'label' | 'status' | 'credits'> {
  readonly type: string | null
  readonly reason: string | null
  readonly message: string | null
}

export function toCall({ label, status, credits, fault }: Outcome): ProbeCall {
  return {
    label,
    status,
    credits,
    type: fault?.type ?? null,
    reason: fault?.reason ?? null,
    message: fault?.message ?? null
  }
}

/** Answers that no other probe has. */
export const UNCLEAR: AnswerClass = {
  means: 'The answers contradict each other, or an unrelated failure occurred.',
  change: 'Run the probes again later.'
}

export const NO_FORM = 'no form of request was answered'

/** Asks for a word, at the price of a few dozen tokens. */
export const GREETING = 'Hi. Reply with the word OK alone.'

/** Models that take text, cheapest first. */
export const CHEAP_MODELS: readonly string[] = [
  'qwen3-coder-next',
  'claude-haiku-5.5',
  'minimax-m2.5',
  'deepseek-3.2',
  'claude-haiku-4.5',
  'auto'
]
