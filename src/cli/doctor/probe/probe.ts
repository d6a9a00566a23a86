import type { Asker, Outcome } from './asker.ts'

export interface AnswerClass {
  readonly means: string
  readonly change: string | null
}

export interface Probe {
  readonly id: string
  readonly question: string
  /** All possible answers by name; docs/doctor.md has them all. */
  readonly answers: Readonly<Record<string, AnswerClass>>
  skip(asker: Asker): string | null
  /** Resolves with the name of the answer. @throws {ProbesStopped} */
  ask(asker: Asker): Promise<string>
}

export interface ProbeResult extends AnswerClass {
  readonly id: string
  readonly question: string
  readonly answer: string
  readonly calls: readonly ProbeCall[]
}

/** For a report to the project: never a word of what was sent or answered. */
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

export const UNCLEAR: AnswerClass = {
  means: 'The answers contradict each other, or an unrelated failure occurred.',
  change: 'Run the probes again later.'
}

export const NO_FORM = 'no form of request was answered'

export const GREETING = 'Hi. Reply with the word OK alone.'

/** Text models, cheapest first. */
export const CHEAP_MODELS: readonly string[] = [
  'qwen3-coder-next',
  'claude-haiku-5.5',
  'minimax-m2.5',
  'deepseek-3.2',
  'claude-haiku-4.5',
  'auto'
]
