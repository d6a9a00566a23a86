import { TextSeal } from './text-seal.ts'

/** Keys and owner of sealed summaries. Plain data: it crosses threads. */
export interface SummaryKeys {
  /** Hexadecimal; the first seals, all open. */
  readonly keys: readonly string[]
  /** Name of the client's key: what is sealed for one opens for no other. */
  readonly owner: string
}

/** Begins every sealed summary, with its version. */
const PREFIX = 'kgc1.'

/** Seals the text that will stand for a conversation. Only this gateway, or its fleet, opens it. */
export function sealSummary(summary: string, { keys, owner }: SummaryKeys): string {
  return PREFIX + sealOf(keys).seal(summary, placeOf(owner))
}

/** `null` for what was made elsewhere or for another key, and for what was changed. */
export function openSummary(sealed: unknown, { keys, owner }: SummaryKeys): string | null {
  if (typeof sealed !== 'string' || !sealed.startsWith(PREFIX)) return null
  return sealOf(keys).open(sealed.slice(PREFIX.length), placeOf(owner))
}

function sealOf(keys: readonly string[]): TextSeal {
  return new TextSeal(keys.map((key) => Buffer.from(key, 'hex')))
}

function placeOf(owner: string): string {
  return `v1|compaction|${owner}`
}
