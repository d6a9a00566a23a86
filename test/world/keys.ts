import { createHash } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { formatKeysFile, NO_KEYS, parseKeysFile } from '../../src/keys/key-file.ts'
import { NO_LIMITS } from '../../src/keys/key-changes.ts'
import { type CreditPeriod, MICROS_PER_CREDIT, type NamedKey } from '../../src/keys/key.ts'
import type { Character, FaultName } from './character.ts'
import type { Ask, Outcome } from './client.ts'
import type { WorldFleet } from './fleet.ts'
import type { WorldGateway } from './gateway.ts'
import { Violation, type World } from './world.ts'

/** Limits of a named key; `null` for none. */
export interface KeyPlan {
  readonly credits: number | null
  /** What the limit in credits is for. */
  readonly period: CreditPeriod
  readonly requestsPerMinute: number | null
  readonly maxStreams: number | null
}

/** Status of refusals by the limits of a key; nothing else is refused with it in these worlds. */
const LIMITED = 429
/** By then the credits of an answer that its client has seen to its end are settled everywhere. Virtual ms. */
const SETTLED_MS = 5_000
/** Of a key that is revoked. */
const REFUSED = 401
/** A gateway knows by then that a key was revoked, where it was or at another one of its fleet. */
const HEARD_MS = 5_000
/** What processes of a gateway die of. */
const DEADLY: readonly FaultName[] = ['kill', 'gateway crash', 'power loss']
/** With these, a minute of the gateway is not one of its clients. */
const UNEVEN: readonly FaultName[] = ['clock', 'pause', 'pause primary']
const MINUTE_MS = 60_000
/** A request may reach its worker so much later than its client sent it. */
const LATE_MS = 1_000
const EVEN_MINUTE_MS = MINUTE_MS - LATE_MS
const DAY_MS = 86_400_000
/** A Monday, epoch ms. */
const MONDAY = 4 * DAY_MS
/** So long after its beginning, a period has begun everywhere. */
const BEGUN_MS = 120_000
/** In the words of each dialect. */
const SPENT = /has a limit of [\d.]+ credits/
/** With less than this, one answer may cost more than a whole period has. */
const ENOUGH_CREDITS = 3
/** Part of a limit that a worker holds at most beside what its questions need, and that is lost with it. */
const LOST_PART = 1 / 8
/** A key is not refused before about so much of its limit may have been used. */
const SPENT_PART = 1 / 2

interface Booked {
  /** Micro-credits that the upstream metered for questions that ended whole, and by when they count. */
  readonly paid: { readonly askedAt: number; readonly at: number; readonly micros: number }[]
  /** Micro-credits metered by question, until it ends. */
  readonly metered: Map<number, number>
  /** When the questions that were not refused were asked. */
  readonly askedAt: number[]
  /** Those of them that a gateway has counted for certain. */
  readonly counted: { readonly at: number; readonly life: Life }[]
  /** What an answer that did not end whole has cost is estimated. */
  isEstimated: boolean
}

/** One of the primaries that a gateway has after another. It alone knows what its minute has seen. */
interface Life {
  readonly gateway: WorldGateway
  /** `starts` of then. */
  readonly start: number
}

interface OpenAsk {
  readonly key: number
  /** Virtual ms. */
  readonly at: number
  /** Of the gateway that was asked. */
  readonly port: number
  readonly life: Life
  /** The upstream has got it. */
  wasSent: boolean
}

/** A question that came with a named key. */
interface AskOfKey extends OpenAsk {
  readonly plan: KeyPlan
  readonly booked: Booked
}

/** Named keys of a world, and what must hold of each: nobody gets more than its limits, and every place tells the same credits. */
export class WorldKeys {
  readonly #world: World
  readonly #plans: readonly KeyPlan[]
  readonly #areMinutesEven: boolean
  readonly #areDaysEven: boolean
  readonly #isPruned: boolean
  readonly #booked: readonly Booked[]
  /** By question, until it ends. */
  readonly #asks = new Map<number, OpenAsk>()
  readonly #gateways: readonly WorldGateway[]
  readonly #fleet: WorldFleet | null
  #deaths = 0
  /** Virtual ms of the last one. */
  #diedAt = -Infinity
  /** Virtual ms at which a key was revoked, and the port of the gateway beside which that was done. */
  #revoked: { readonly key: number; readonly at: number; readonly port: number } | null = null

  constructor(
    world: World,
    { keys, faults, env }: Pick<Character, 'keys' | 'faults' | 'env'>,
    {
      gateways,
      fleet
    }: { readonly gateways: readonly WorldGateway[]; readonly fleet: WorldFleet | null }
  ) {
    this.#world = world
    this.#gateways = gateways
    this.#fleet = fleet
    this.#plans = keys
    this.#areDaysEven = !faults.includes('clock')
    this.#isPruned = env['USAGE_RETENTION_DAYS'] !== undefined
    this.#areMinutesEven = !faults.some((name) => UNEVEN.includes(name))
    this.#booked = keys.map(() => ({
      paid: [],
      metered: new Map(),
      askedAt: [],
      counted: [],
      // What a dead worker held counts as used.
      isEstimated: faults.some((name) => DEADLY.includes(name))
    }))
  }

  /** Writes the file of keys, as an operator would before the gateway starts. */
  write(stateDir: string): void {
    if (this.#plans.length === 0) return
    const keys = this.#plans.map((plan, index) => toNamedKey(plan, index))
    writeFileSync(join(stateDir, 'keys.json'), formatKeysFile(NO_KEYS, keys), { mode: 0o600 })
  }

  /** As `kiro-gateway key revoke` does beside a gateway: its file has a newer version of the key. */
  revoke(key: number, { stateDir, port }: WorldGateway): void {
    if (this.#plans.length === 0) return
    const at = this.#world.now
    this.#revoked = { key, at, port }
    this.#world.note(`revokes key ${key} at ${port}`)
    const path = join(stateDir, 'keys.json')
    const file = parseKeysFile(readFileSync(path, 'utf8'), path)
    const keys = file.keys.map((one) =>
      one.id === idOf(key) ? { ...one, revokedAt: Date.now() } : one
    )
    const [fresh, replaced] = [`${path}.new`, path]
    writeFileSync(fresh, formatKeysFile(file, keys), { mode: 0o600 })
    renameSync(fresh, replaced)
  }

  onAsk({ id, key, port }: Ask): void {
    const gateway = this.#gateways.find((one) => one.port === port)
    if (key === null || gateway === undefined) return
    const life = { gateway, start: gateway.starts }
    this.#asks.set(id, { key, port, life, at: this.#world.now, wasSent: false })
  }

  /** Whether a key had been revoked for long enough when a question was asked that its gateway must have known. */
  #isRevoked({ key, at, port }: { key: number; at: number; port: number }): boolean {
    if (this.#revoked?.key !== key || at - this.#revoked.at < HEARD_MS) return false
    return port === this.#revoked.port || this.#fleet?.isCalm() === true
  }

  /** The upstream is asked: by then the key must have had credits left. */
  onAsked(id: number): void {
    const open = this.#asks.get(id)
    if (open !== undefined) open.wasSent = true
    const found = this.#of(id)
    if (found !== null && this.#isRevoked(found))
      this.#refuse(`key ${found.key} was revoked, and asks ask-${id} all the same`)
    if (found === null || found.plan.credits === null) return
    // A Valkey that has forgotten what was given away may give it once more.
    const limit = toMicros(found.plan.credits) * (1 + (this.#fleet?.losses ?? 0))
    const { now } = this.#world
    const beginsAt = this.#periodOf(found.plan)
    let used = 0
    for (const { askedAt, at, micros } of found.booked.paid)
      if (at <= now - SETTLED_MS && askedAt >= beginsAt + BEGUN_MS) used += micros
    if (used >= limit)
      this.#refuse(
        `key ${found.key} has used ${used} of ${limit} micro-credits, and asks ask-${id}`
      )
  }

  onMetered(id: number, credits: number): void {
    const found = this.#of(id)
    const before = found?.booked.metered.get(id) ?? 0
    found?.booked.metered.set(id, before + toMicros(credits))
  }

  onOutcome({ id }: Ask, { end, status, body }: Outcome): void {
    const found = this.#of(id)
    if (found === null) return
    const { booked, plan } = found
    const micros = booked.metered.get(id) ?? 0
    booked.metered.delete(id)
    if (end === 'whole') booked.paid.push({ askedAt: found.at, at: this.#world.now, micros })
    const isRefused = status === LIMITED || status === REFUSED
    if (end !== 'whole' && !isRefused) booked.isEstimated = true
    // Gateways of a fleet ask each other before they refuse, and a client may leave meanwhile.
    const mayBeRefused = isRefused || (this.#fleet !== null && end === 'left')
    if (!mayBeRefused) booked.askedAt.push(found.at)
    else if (SPENT.test(body)) {
      this.#checkSpent(found)
      this.#checkMuchLeft(found)
    }
    // Where no worker is left, the kernel resets what comes, and no gateway knows of it. Nor does a client that got nothing.
    const isCounted = found.wasSent || (end !== 'broken' && end !== 'left')
    if (!mayBeRefused && isCounted) {
      booked.counted.push({ at: found.at, life: found.life })
      if (plan.requestsPerMinute !== null && this.#areMinutesEven)
        this.#checkRate(found.key, found.at)
    }
    this.#asks.delete(id)
  }

  /** What a worker held that was killed counts as used, also one that only stood still. */
  onDeath(): void {
    this.#deaths += 1
    this.#diedAt = this.#world.now
    for (const booked of this.#booked) booked.isEstimated = true
  }

  /** Whether its key has a limit in credits, so that the gateway has to know what it costs. */
  hasCredits({ key }: Ask): boolean {
    return key !== null && this.#plans[key]?.credits !== null
  }

  /** Whether the limits of its key may be why a question was refused. */
  mayRefuse({ key }: Ask, status: number | null): boolean {
    const plan = key === null ? undefined : this.#plans[key]
    if (status === REFUSED && key !== null && key === this.#revoked?.key) return true
    const { credits = null, requestsPerMinute = null } = plan ?? {}
    return status === LIMITED && (credits ?? requestsPerMinute) !== null
  }

  /** A new period has the whole limit again, but for what was asked shortly before it, and what died with a worker. */
  #checkSpent({ key, plan, at, booked }: AskOfKey): void {
    if (plan.period === 'total' || plan.credits === null || plan.credits < ENOUGH_CREDITS) return
    const beginsAt = this.#periodOf(plan)
    if (at < beginsAt + BEGUN_MS || this.#diedAt >= beginsAt) return
    if (booked.askedAt.some((one) => one >= beginsAt - BEGUN_MS)) return
    for (const other of this.#asks.values())
      if (other.key === key && other.at !== at && other.at >= beginsAt - BEGUN_MS) return
    this.#refuse(`key ${key} is refused for credits in a ${plan.period} in which it used none`)
  }

  /** Nobody is refused while most of the limit is left, whatever each answer has cost. Gateways of a fleet hold parts of it. */
  #checkMuchLeft({ key, plan, booked }: AskOfKey): void {
    if (this.#fleet !== null || plan.credits === null) return
    const open = this.#asks.values().filter((ask) => ask.key === key)
    const questions = booked.askedAt.length + [...open].length
    const most = questions * ENOUGH_CREDITS + this.#deaths * LOST_PART * plan.credits
    if (most < plan.credits * SPENT_PART)
      this.#refuse(`key ${key} is refused for credits after ${questions} questions`)
  }

  /** Virtual ms at which the current period of a limit began; never, where the gateway's clock may say another one. */
  #periodOf({ period }: KeyPlan): number {
    if (period === 'total') return -Infinity
    if (!this.#areDaysEven) return Infinity
    const now = Date.now()
    return this.#world.now - (now - beginningOf(period, now))
  }

  /**
   * Any minute touches two of the clock's, and each has the whole limit. A gateway that starts again counts its minute anew.
   * Looks at each minute in which a question of `at` is, as those that began after it may have ended before.
   */
  #checkRate(key: number, at: number): void {
    const limit = this.#plans[key]?.requestsPerMinute ?? Infinity
    const most = limit * (1 + (this.#fleet?.losses ?? 0))
    const near = this.#bookedOf(key).counted.filter(
      (one) => Math.abs(one.at - at) < EVEN_MINUTE_MS && one.life.start === one.life.gateway.starts
    )
    for (const { at: end } of near) {
      if (end < at) continue
      const { length } = near.filter((one) => one.at > end - EVEN_MINUTE_MS && one.at <= end)
      if (length > 2 * most)
        this.#refuse(`key ${key} has asked ${length} times in a minute, and may ${most} times`)
    }
  }

  /** Reads the books once their gateways have ended: their sums are equal, and nothing is held any more. */
  checkBooks(stateDirs: readonly string[]): void {
    if (this.#plans.every(({ credits }) => credits === null)) return
    const used = this.#plans.map(() => 0)
    for (const stateDir of stateDirs) {
      const db = new DatabaseSync(join(stateDir, 'usage.db'), { readOnly: true })
      try {
        for (const [key, plan] of this.#plans.entries())
          if (plan.credits !== null) used[key] = (used[key] ?? 0) + this.#checkPage(db, key, plan)
      } finally {
        db.close()
      }
    }
    for (const [key, plan] of this.#plans.entries())
      if (plan.credits !== null) this.#checkUsed(key, used[key] ?? 0)
  }

  /** Returns the micro-credits that one book says were used. */
  #checkPage(db: DatabaseSync, key: number, plan: KeyPlan): number {
    const id = idOf(key)
    const written = db.prepare('SELECT page FROM pages WHERE key = ?').get(id)
    if (written === undefined) return 0 // it was never asked with
    const { used, leases } = JSON.parse(String(written['page'])) as {
      readonly used: number
      readonly leases: Readonly<Record<string, object>>
    }
    const sums = db.prepare('SELECT total(credits) AS credits FROM days WHERE key = ?').get(id)
    const rows = db.prepare('SELECT total(credits) AS credits FROM requests WHERE key = ?').get(id)
    const told = { used, days: Number(sums?.['credits']), requests: Number(rows?.['credits']) }
    this.#world.note(`the book says of key ${key}: ${JSON.stringify(told)}`)
    const areEqual = plan.period === 'total' ? told.days === used : told.days >= used // of one period alone
    const areRowsEqual = this.#isPruned ? told.requests <= told.days : told.requests === told.days
    if (!areEqual || !areRowsEqual)
      this.#refuse(`the sums of key ${key} are not equal: ${JSON.stringify(told)}`)
    if (Object.keys(leases).length > 0)
      this.#refuse(`key ${key} has credits held by nobody: ${JSON.stringify(leases)}`)
    return told.days
  }

  #checkUsed(key: number, used: number): void {
    const { paid, isEstimated } = this.#bookedOf(key)
    const metered = paid.reduce((sum, { micros }) => sum + micros, 0)
    if (metered > used)
      this.#refuse(`key ${key} was metered ${metered}, and ${used} of it is in the book`)
    if (!isEstimated && metered !== used)
      this.#refuse(`key ${key} was metered ${metered}, and the book says ${used}`)
  }

  #of(id: number): AskOfKey | null {
    const ask = this.#asks.get(id)
    if (ask === undefined) return null
    const plan = this.#plans[ask.key]
    return plan === undefined ? null : { ...ask, plan, booked: this.#bookedOf(ask.key) }
  }

  #bookedOf(key: number): Booked {
    const booked = this.#booked[key]
    if (booked === undefined) throw new Error(`there is no key ${key}`)
    return booked
  }

  #refuse(problem: string): void {
    this.#world.fail(new Violation(problem))
  }
}

/** Epoch ms at which the period began that a moment is in, in UTC. */
function beginningOf(period: CreditPeriod, now: number): number {
  const at = new Date(now)
  const day = now - (now % DAY_MS)
  switch (period) {
    case 'total':
      return 0
    case 'day':
      return day
    case 'week':
      return now - ((now - MONDAY) % (7 * DAY_MS))
    case 'month':
      return day - (at.getUTCDate() - 1) * DAY_MS
  }
}

function toNamedKey(plan: KeyPlan, index: number): NamedKey {
  const { credits, period, requestsPerMinute, maxStreams } = plan
  return {
    ...NO_LIMITS,
    id: idOf(index),
    name: `key-${index}`,
    hashes: [{ sha256: createHash('sha256').update(textOfKey(index)).digest('hex'), until: null }],
    credits: credits === null ? null : { limit: credits, period },
    requestsPerMinute,
    maxStreams,
    revokedAt: null,
    createdAt: Date.now(),
    reopened: null
  }
}

function idOf(index: number): string {
  return `k_world${index}`
}

/** Text of a key, as its clients send it. */
export function textOfKey(index: number): string {
  return `kgw_${String(index).repeat(43)}`
}

function toMicros(credits: number): number {
  return Math.round(credits * MICROS_PER_CREDIT)
}
