/** Control words of a prompt (`docs/lab/simulator.md`). */
export interface ControlWords {
  /** 1 for a word without a number. Has unknown words, too: tests know more of them. */
  readonly numbers: ReadonlyMap<string, number>
  readonly say: string | null
  readonly next: string | null
}

const MAX_NUMBER = 100_000_000
/** Nothing inside the JSON string counts as a word. */
const JSON_WORD = /sim:(say|next)=("(?:[^"\\]|\\.)*")/g
const WORD = /sim:([a-z][a-z-]*)(?:=(\d+))?/g

export function findControlWords(text: string): ControlWords {
  const numbers = new Map<string, number>()
  for (const [, name = '', value] of text.replace(JSON_WORD, ' ').matchAll(WORD)) {
    numbers.set(name, Math.min(Number(value ?? 1), MAX_NUMBER))
  }
  return { numbers, say: findText(text, 'say'), next: findText(text, 'next') }
}

export function withoutControlWords(text: string): string {
  return text
    .replace(JSON_WORD, '')
    .replace(WORD, '')
    .replaceAll(/[^\S\n]{2,}/g, ' ')
    .trim()
}

function findText(text: string, name: 'say' | 'next'): string | null {
  const literal = [...text.matchAll(JSON_WORD)].find((match) => match[1] === name)?.[2]
  if (literal === undefined) return null
  try {
    const value: unknown = JSON.parse(literal)
    return typeof value === 'string' ? value : null
  } catch {
    return null // an unreadable value is ignored like an unknown word
  }
}

/** `auto+sim:stall+sim:gap=5` is `auto` and its control words. */
export function splitModelName(name: string): {
  readonly modelId: string
  readonly words: string
} {
  const start = name.indexOf('sim:')
  if (start === -1) return { modelId: name, words: '' }
  const modelId = name.slice(0, start).replace(/[^A-Za-z0-9]+$/, '')
  return { modelId: modelId === '' ? 'auto' : modelId, words: name.slice(start) }
}
