import { type Part, RequestParts } from '../../dialects/lint/request-parts.ts'
import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import { type FoundRule, rowOf, ruleFor } from './found-rule.ts'
import type { Found, SearchEnd, RefusalSearchResult } from './refusal-search.ts'

export interface ProbeFacts {
  readonly end: ProbeEnd
  readonly result?: RefusalSearchResult
  readonly dialect: string
  readonly sent: number
  readonly limit: number
  /** Most credits that all requests may cost. */
  readonly credits: number
  /** The upstream's last refusal. */
  readonly said: string | null
  readonly advice?: { readonly means: string; readonly change: string | null }
}

/** `stopped`: the account must not ask on. `unwell`: the upstream fails for other reasons. */
export type ProbeEnd = SearchEnd | 'stopped' | 'unwell'

export interface ProbeReport {
  readonly end: ProbeEnd
  readonly means: string
  readonly change: string | null
  readonly dialect: string
  readonly requests: { readonly sent: number; readonly limit: number }
  readonly creditsAtMost: number
  readonly said: string | null
  readonly found: readonly FoundPart[]
  /** The smallest request that was refused, while the search is not complete. */
  readonly smallest: {
    readonly parts: number
    readonly first: readonly string[]
  } | null
}

interface FoundPart {
  readonly certainty: Found['certainty']
  readonly parts: readonly { readonly pointer: string; readonly excerpt: string }[]
  readonly rule: FoundRule & { readonly row: string }
}

const MAX_SHOWN = 5

export function toProbeReport(
  body: JsonObject,
  facts: ProbeFacts,
  clean: (text: string) => string
): ProbeReport {
  const { end, result, dialect, sent, limit, credits, said, advice } = facts
  const parts = new RequestParts(body)
  const found = (result?.found ?? []).map((one) => toFoundPart(one, { body, parts, clean }))
  const smallest = result?.smallest ?? []
  const isKnown = found.length === 0 && smallest.length > 0
  return {
    end,
    ...(advice ?? MEANINGS[end]),
    dialect,
    requests: { sent, limit },
    creditsAtMost: Number(credits.toFixed(4)),
    said: said === null ? null : clean(said),
    found,
    smallest: isKnown
      ? {
          parts: smallest.length,
          first: smallest.slice(0, MAX_SHOWN).map(({ pointer }) => pointer)
        }
      : null
  }
}

const AGAIN = 'Run the same command again: it goes on from here.'

const MEANINGS: Readonly<Record<ProbeEnd, { means: string; change: string | null }>> = {
  complete: {
    means: 'The upstream refuses this part of the request.',
    change: 'Please report it, with the row for docs/rules.md.'
  },
  unfinished: { means: 'No requests were left before the search was over.', change: AGAIN },
  'greeting-refused': {
    means: 'The upstream refuses even a greeting, so the request is not the cause.',
    change: 'Run "kiro-gateway doctor --probe", which looks for the cause.'
  },
  taken: { means: 'The upstream took the whole request, twice.', change: null },
  flaky: {
    means: 'The upstream refused the whole request at one time and took it at another.',
    change: 'Send it again. No part of it is the cause.'
  },
  explained: {
    means: 'The upstream says why it refuses the request, so nothing has to be looked for.',
    change: null
  },
  stopped: { means: 'The upstream takes no more requests of this account.', change: null },
  unwell: {
    means: 'The upstream fails for reasons that have nothing to do with the request.',
    change: AGAIN
  }
}

interface Shown {
  readonly body: JsonObject
  readonly parts: RequestParts
  readonly clean: (text: string) => string
}

function toFoundPart(found: Found, { body, parts, clean }: Shown): FoundPart {
  const rule = ruleFor(found.parts, body)
  const what = clean(rule.what)
  return {
    certainty: found.certainty,
    parts: found.parts.map((part) => ({
      pointer: pointerOf(part),
      excerpt: excerptOf(parts.valueOf(part), clean)
    })),
    rule: { ...rule, what, row: rowOf({ ...rule, what }) }
  }
}

function pointerOf({ pointer, range }: Part): string {
  return range === undefined ? pointer : `${pointer} (characters ${range[0]} to ${range[1]})`
}

const MAX_EXCERPT_CHARS = 120
const MAX_TEXT_CHARS = 60

/** A short text as it is; of a long one its length. Without secrets. */
function excerptOf(value: unknown, clean: (text: string) => string): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(outlined(value)) ?? '')
  const short = clean(text)
  return short.length <= MAX_EXCERPT_CHARS ? short : `${short.slice(0, MAX_EXCERPT_CHARS)}…`
}

function outlined(value: unknown): unknown {
  if (typeof value === 'string') {
    return value.length <= MAX_TEXT_CHARS ? value : `‹${value.length} characters›`
  }
  if (Array.isArray(value)) return value.slice(0, MAX_SHOWN).map(outlined)
  if (!isJsonObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, outlined(one)]))
}

/** Writes the report for people. */
export function linesOfProbe(report: ProbeReport): readonly string[] {
  const { found, smallest, means, change, requests, said } = report
  const isSaid = said !== null && SAID.has(report.end)
  return [
    ...found.flatMap(foundLines),
    ...(smallest === null ? [] : [smallestLine(smallest)]),
    means,
    ...(isSaid ? [`The upstream said: ${said}`] : []),
    ...(change === null ? [] : [change]),
    `${requests.sent} of ${requests.limit} requests were sent.`
  ]
}

/** Ends of which the upstream's own words say more. */
const SAID: ReadonlySet<ProbeEnd> = new Set(['explained', 'unwell', 'greeting-refused'])

const CERTAINTY: Readonly<Record<Found['certainty'], string>> = {
  once: 'Refused; not asked again.',
  sure: 'Refused each time.',
  flaky: 'Not always refused: asked again, the upstream took it.'
}

function foundLines({ parts, certainty, rule }: FoundPart): readonly string[] {
  const shown = parts.flatMap(({ pointer, excerpt }) => [`  ${pointer}`, `    ${excerpt}`])
  const head = parts.length > 1 ? 'Refused together, and not without each other:' : 'Refused:'
  const all = parts.length > 0 ? [head, ...shown] : ['Refused: the signed reasoning of answers']
  return [...all, `  ${CERTAINTY[certainty]}`, '  As a rule:', `  ${rule.row}`, '']
}

function smallestLine({ parts, first }: NonNullable<ProbeReport['smallest']>): string {
  const more = parts > first.length ? `, and ${parts - first.length} more` : ''
  return `The cause is in what was refused last: ${first.join(', ')}${more}`
}
