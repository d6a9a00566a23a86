import type { Random } from './random.ts'

/** How an answer ends after its first words. */
export type AnswerEnd = 'whole' | 'whole-and-close' | 'reset' | 'fin' | 'stall'

/** What the upstream does with one request. */
export type Script =
  | {
      readonly name: 'answer'
      /** Milliseconds to the first word. */
      readonly firstMs: number
      /** Words sent, and how many a whole answer would have. */
      readonly sent: number
      readonly words: number
      /** Milliseconds between two of them; 0 sends all at once. */
      readonly gapMs: number
      readonly end: AnswerEnd
    }
  | { readonly name: 'status'; readonly status: 429 | 500 | 503; readonly isClosing: boolean }
  | { readonly name: 'reset-before-headers'; readonly afterMs: number }
  | { readonly name: 'stall-before-headers' }

/** Every answer is whole and quick. */
export const CALM = {
  name: 'answer',
  firstMs: 0,
  sent: 5,
  words: 5,
  gapMs: 5,
  end: 'whole'
} as const

const KINDS = {
  answer: 84,
  'answer-cut': 6,
  status: 5,
  'reset-before-headers': 3,
  'stall-before-headers': 2
} as const

/** The same, for three seconds. */
export const LONG = { ...CALM, sent: 150, words: 150, gapMs: 20 } as const

/** The next request's fate: four of five are answered well, the others in every way that upstreams fail. */
export function nextScript(random: Random): Script {
  const name = random.weighted(KINDS)
  switch (name) {
    case 'answer':
      return answer(random, random.chance(0.05) ? 'whole-and-close' : 'whole')
    case 'answer-cut':
      return answer(random, random.weighted({ reset: 2, fin: 2, stall: 1 }))
    case 'status':
      return { name, status: random.pick([429, 500, 503] as const)!, isClosing: random.chance(0.3) }
    case 'reset-before-headers':
      return { name, afterMs: random.between(0, 80) }
    case 'stall-before-headers':
      return { name }
  }
}

function answer(random: Random, end: AnswerEnd): Script {
  const length = random.weighted({ short: 60, usual: 37, long: 3 })
  const words = { short: [1, 8], usual: [10, 40], long: [80, 150] }[length] as [number, number]
  const total = random.between(...words)
  const isWhole = end === 'whole' || end === 'whole-and-close'
  return {
    name: 'answer',
    firstMs: random.chance(0.06) ? random.between(200, 900) : random.between(0, 40),
    words: total,
    sent: isWhole ? total : random.between(0, total - 1),
    gapMs: random.pick([0, 5, 15, 30])!,
    end
  }
}

/** What happens to the upstream as a whole, now and then. */
export type Event =
  | { readonly name: 'fin-idle' | 'reset-idle'; readonly share: number }
  /** Accepts nothing, or hears nothing, for so long. */
  | { readonly name: 'refuse' | 'deaf'; readonly ms: number }
  | { readonly name: 'slow-accept'; readonly ms: number; readonly delayMs: number }

export function nextEvent(random: Random): Event {
  const name = random.weighted({
    'fin-idle': 4,
    'reset-idle': 2,
    refuse: 1,
    'slow-accept': 1,
    deaf: 2
  })
  switch (name) {
    case 'fin-idle':
    case 'reset-idle':
      return { name, share: random.pick([0.1, 0.5, 1])! }
    case 'refuse':
      return { name, ms: random.between(50, 300) }
    case 'deaf':
      return { name, ms: random.between(200, 900) }
    case 'slow-accept':
      return { name, ms: random.between(200, 1000), delayMs: random.between(20, 300) }
  }
}
