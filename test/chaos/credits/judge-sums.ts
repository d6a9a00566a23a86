import { type Asked, type Person, TEAM } from './credit-clients.ts'
import type { MeteredCall } from './metering-upstream.ts'
import { sumOf, type Told } from './told-sums.ts'

/** What upstream, clients and driver have seen. */
export interface Seen {
  readonly metered: readonly MeteredCall[]
  /** By the numbers of their requests. */
  readonly asked: readonly Asked[]
  /** When processes were killed, by the clock of `performance.now()`. */
  readonly kills: readonly number[]
}

/** How the credits of one key come together. Micro-credits, but for `told`. */
export interface KeySums {
  readonly who: Person
  /** What all places tell, in credits. */
  readonly told: number
  /** Metered by the upstream. */
  readonly metered: number
  /** The part of it that rows have, to the last digit. */
  readonly heard: number
  /** The part of it that no row has: their clients left, or their processes were killed. */
  readonly left: number
  readonly killed: number
  /** Rows of answers that were measured by their tokens. */
  readonly measured: number
  /** Rows of what was lost with workers and gateways. */
  readonly lost: number
}

export interface Verdict {
  readonly sums: readonly KeySums[]
  readonly violations: readonly string[]
  /** Longest time between the end of an answer and the kill that took its row. */
  readonly latestMs: number
}

/** Rows are in the account book so long after their answers, on a machine that may be busy. */
const UNWRITTEN_MS = 3_000

/** Compares all places that tell what was used with each other, and each row of the account book with what the upstream has metered. */
export function judgeSums(told: Told, seen: Seen): Verdict {
  const violations: string[] = []
  if (told.reserved > 0) violations.push(`${told.reserved} credits are reserved for nobody`)
  const latest = { ms: 0 }
  const sums = TEAM.map((who) => sumsOf(who, told, seen, { violations, latest }))
  return { sums, violations, latestMs: latest.ms }
}

interface Notes {
  readonly violations: string[]
  readonly latest: { ms: number }
}

function sumsOf(who: Person, told: Told, seen: Seen, { violations, latest }: Notes): KeySums {
  const say = (text: string): void => void violations.push(`${who}: ${text}`)
  const places = told.keys[who]
  const figures = Object.values(places).filter((one) => one !== null)
  if (new Set(figures).size > 1) say(`not everywhere the same: ${JSON.stringify(places)}`)

  const rows = told.rows.filter((row) => row.who === who)
  const [heardRows, measuredRows, lostRows, others] = [
    rows.filter(({ metering }) => metering === 'metered' || metering === 'read on'),
    rows.filter(({ metering }) => metering === 'measured'),
    rows.filter(({ isLost }) => isLost),
    rows.filter(({ metering, isLost }) => metering === '' && !isLost)
  ]
  if (sumOf(others) > 0) say(`${sumOf(others)} of which nobody says where they come from`)

  const unheard = new Map(
    seen.metered
      .filter(({ request }) => seen.asked[request]?.who === who)
      .map((call) => [call.credits, call])
  )
  const metered = sumOf([...unheard.values()])
  for (const { credits } of heardRows) {
    if (!unheard.delete(credits)) say(`a row has ${credits}, metered for nobody or in another row`)
  }

  const isKilled = ({ request }: MeteredCall): boolean =>
    seen.kills.some((at) => {
      const { from, until } = seen.asked[request] ?? { from: 0, until: 0 }
      const isHit = from <= at && at <= until + UNWRITTEN_MS
      if (isHit) latest.ms = Math.max(latest.ms, at - until)
      return isHit
    })
  const [left, killed]: [MeteredCall[], MeteredCall[]] = [[], []]
  for (const call of unheard.values()) {
    if (seen.asked[call.request]?.isCutShort === true) left.push(call)
    else if (isKilled(call)) killed.push(call)
    else say(`request ${call.request} has cost ${call.credits}, and no row says so`)
  }
  if (left.length > measuredRows.length && !left.some(isKilled))
    say(`${left.length} answers were cut short, but ${measuredRows.length} measured`)
  if (places.ownLimit !== null && sumOf(killed) > sumOf(lostRows))
    say(`killed with ${sumOf(killed)}, but ${sumOf(lostRows)} count as lost`)
  return {
    who,
    told: places.command,
    metered,
    heard: sumOf(heardRows),
    left: sumOf(left),
    killed: sumOf(killed),
    measured: sumOf(measuredRows),
    lost: sumOf(lostRows)
  }
}
