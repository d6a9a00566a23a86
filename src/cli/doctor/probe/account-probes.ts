import { profileArnFor } from '../../../kiro/wire/hosts.ts'
import { parseSearchAnswer } from '../../../kiro/wire/web-search.ts'
import { searchRequest } from '../../../upstream/call/requests.ts'
import { type Asker, isAnswered, isRefused, type Outcome } from './asker.ts'
import { NO_FORM, type Probe, UNCLEAR } from './probe.ts'

/** Probes of the account: windows and web searches (kiro-protocol §7, §9.4). */

const GPT = 'gpt-5.6-luna'
/** Smallest large window: a million less the longest answer. */
const LARGE_WINDOW = 800_000

export const gptWindow: Probe = {
  id: 'P10',
  question: 'Which context window does the model list give for GPT-5.6?',
  answers: {
    large: { means: 'The large one, of about a million tokens.', change: null },
    small: {
      means:
        'The small one of 272 000 tokens; some accounts are nevertheless served the large one.',
      change: `MODEL_CONTEXT_WINDOWS=${GPT}=1000000 if longer conversations are answered.`
    }
  },
  skip: ({ models }) =>
    models.some(({ id }) => id === GPT) ? null : `${GPT} is not in the model list`,
  async ask({ models }) {
    const tokens = models.find(({ id }) => id === GPT)?.maxInputTokens ?? 0
    return tokens >= LARGE_WINDOW ? 'large' : 'small'
  }
}

export const webSearch: Probe = {
  id: 'P9',
  question: 'Which forms of web search are answered, with and without a profile?',
  answers: {
    both: { means: 'Both forms of search are answered.', change: null },
    path: { means: 'Only the path form of search is answered.', change: null },
    target: { means: 'Only the target form of search is answered.', change: null },
    none: {
      means: 'Searches are not answered.',
      change: 'Set WEB_SEARCH=false, so that models do not try.'
    },
    unclear: UNCLEAR
  },
  skip: ({ form }) => (form === null ? NO_FORM : null),
  async ask(asker) {
    const ways = [
      ['path', false],
      ['path', true],
      ['target', false],
      ['target', true]
    ] as const
    const found = new Set<string>()
    const outcomes: Outcome[] = []
    const hasProfile = profileArnFor(asker.snapshot, asker.host.kind) !== null
    for (const [form, isWithoutProfile] of ways) {
      if (isWithoutProfile && !hasProfile) continue // it would be the same
      const label = `search, ${form} form${isWithoutProfile ? ' without profile' : ''}`
      const outcome = await search(asker, label, { form, isWithoutProfile })
      outcomes.push(outcome)
      if (isSearched(outcome)) found.add(form)
    }
    if (found.size > 0) return found.size === 2 ? 'both' : [...found].join('')
    return outcomes.every((one) => isRefused(one) || isAnswered(one)) ? 'none' : 'unclear'
  }
}

function search(
  asker: Asker,
  label: string,
  { form, isWithoutProfile }: { form: 'path' | 'target'; isWithoutProfile: boolean }
): Promise<Outcome> {
  const { snapshot, host, config } = asker
  const { userAgent } = config.upstream
  const approach = { isWithoutProfile }
  return asker.call(
    label,
    searchRequest({ query: 'Kiro', snapshot, host, approach, form, userAgent })
  )
}

function isSearched(outcome: Outcome): boolean {
  return isAnswered(outcome) && parseSearchAnswer(outcome.body).problem === undefined
}
