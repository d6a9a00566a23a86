import type { JsonForm } from './json-answer.ts'
import type { DueCall, RoundPlan } from './round-plan.ts'
import type { RoundReport } from './round-reader.ts'
import type { EndReason } from './stream-part.ts'

/** What becomes of a round. */
export type RoundVerdict =
  /** It is the answer; what is held goes out, and the end with this reason. */
  | { readonly type: 'deliver'; readonly reason: EndReason }
  /** It is not what was asked for. `reply` tells the model, `problem` the client. */
  | { readonly type: 'repair'; readonly reply: string; readonly problem: string }
  /** The model wants searches; with a call of the client's beside them they are the end of the answer. */
  | { readonly type: 'search'; readonly isLast: boolean }

/** Finds what keeps a text from being the JSON that was asked for, in words for the model. */
export type FindProblems = (text: string, form: JsonForm) => Promise<readonly string[]>

/**
 * Judges a round by what the client insists on. An answer that was cut short, refused or ended by a stop string is
 * delivered as it is: its reason says so. One that consists of tool calls need not be JSON.
 */
export async function judgeRound(
  report: RoundReport,
  plan: RoundPlan,
  { isTooLong, problemsOf }: { readonly isTooLong: boolean; readonly problemsOf: FindProblems }
): Promise<RoundVerdict> {
  const { searches, hasDelivered, end } = report
  if (end.reason === 'stop-sequence') return { type: 'deliver', reason: end.reason }
  if (searches.length > 0) return { type: 'search', isLast: hasDelivered }
  if (hasDelivered || (end.reason !== 'stop' && end.reason !== 'tool')) {
    return { type: 'deliver', reason: end.reason }
  }
  if (plan.dueCall !== null) return missingCall(plan.dueCall)
  if (plan.jsonForm === null) return { type: 'deliver', reason: 'stop' }
  const problems = isTooLong ? [TOO_LONG] : await problemsOf(report.text, plan.jsonForm)
  return problems.length === 0 ? { type: 'deliver', reason: 'stop' } : invalidJson(problems)
}

const TOO_LONG = 'it is too long to be checked'

function missingCall(due: DueCall): RoundVerdict {
  const wanted = due.name === null ? 'one of the tools' : `the tool "${due.name}"`
  const names = due.name === null ? due.oneOf : [due.name]
  const reminder = names.map((name) => `"${name}"`).join(' or ')
  return {
    type: 'repair',
    reply:
      `Your answer does not call ${wanted}, and it has to. ` +
      `Call the tool ${reminder} now, with complete arguments and without any text.`,
    problem: `The model did not call ${wanted}, which tool_choice asks for`
  }
}

function invalidJson(problems: readonly string[]): RoundVerdict {
  const list = problems.map((problem) => `- ${problem}`).join('\n')
  return {
    type: 'repair',
    reply:
      `Your answer is not the JSON that was asked for:\n${list}\n` +
      'Give the whole answer again: one valid JSON value that has none of these problems, and nothing else.',
    problem: 'The model did not answer with the JSON that the requested format describes'
  }
}
