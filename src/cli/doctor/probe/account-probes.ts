import { randomUUID } from 'node:crypto'
import { profileArnFor } from '../../../kiro/wire/hosts.ts'
import { parseSearchAnswer } from '../../../kiro/wire/web-search.ts'
import { searchRequest } from '../../../upstream/call/requests.ts'
import { type Asker, isAnswered, isRefused, type Outcome } from './asker.ts'
import { NO_FORM, type Probe, UNCLEAR } from './probe.ts'

/** Probes of the account: cached prefixes, windows, web searches (kiro-protocol §7, §9.4, §9.7). */

const GPT = 'gpt-5.6-luna'
/** More than the 1024 tokens from which prefixes are cached. */
const PREFIX_CHARS = 16_000
const CHEAPER = 0.8

export const promptCache: Probe = {
  id: 'P5',
  question: 'Is a repeated prompt prefix cheaper, and only with the same conversation id?',
  answers: {
    'same-id': {
      means:
        'It is cheaper with the same id. The gateway keeps ids, so conversations cost a fraction.',
      change: null
    },
    content: { means: 'It is cheaper with any id: only the content matters.', change: null },
    never: {
      means: 'It is not cheaper: each request costs the full price of its conversation.',
      change: 'Prefer short conversations with this model, and compact early.'
    },
    unclear: UNCLEAR
  },
  skip: (asker) =>
    asker.form === null
      ? NO_FORM
      : asker.modelOf([GPT]) === null
        ? `the account has no ${GPT}`
        : null,
  async ask(asker) {
    const id = randomUUID()
    const text = fillerText(id)
    const ask = (label: string, conversationId: string): Promise<Outcome> =>
      asker.generate(label, {
        form: asker.form ?? 'path',
        modelId: GPT,
        content: `${text}\n\nReply with the word OK alone.`,
        conversationId
      })
    const first = await ask('long text', id)
    const again = await ask('long text, same id', id)
    const other = await ask('long text, another id', randomUUID())
    const [cold, warm, moved] = [first.credits, again.credits, other.credits]
    if (cold === null || warm === null || moved === null || cold <= 0) return 'unclear'
    if (warm > cold * CHEAPER) return 'never'
    return moved > cold * CHEAPER ? 'same-id' : 'content'
  }
}

/** Unique per seed, so never sent before. */
function fillerText(seed: string): string {
  const words = seed.split('-')
  const line = (index: number): string =>
    `${index} ${words[index % words.length]} is an entry of a list.`
  const lines = Array.from({ length: PREFIX_CHARS / 32 }, (_, index) => line(index))
  return lines.join('\n').slice(0, PREFIX_CHARS)
}

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
