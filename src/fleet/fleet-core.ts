import { type Instant, msToNextStage, termStage } from '../shared/elapsed.ts'
import type { FleetAnswer, BeatAnswer, FleetQuestion, FleetReading } from './fleet-store.ts'
import { demandOn, type FleetDemand, NO_DEMAND } from './fleet-demand.ts'
import {
  type CoreOptions,
  enterEvent,
  type FleetRefusal,
  type FleetStage,
  GAP_MS,
  isWantNews,
  namesOf,
  newsOf,
  NOTHING,
  rivalIn,
  type Self,
  type Told
} from './fleet-news.ts'
import { FleetRegister, type OwnEntry } from './fleet-register.ts'
import { type FleetState, MAX_ENDED } from './fleet-state.ts'
import { FleetWatch } from './fleet-watch.ts'
import { nextFleet } from './next-fleet.ts'

/**
 * Member of a fleet without connections, clocks and timers: chooses the next question to Valkey. Invariant: `size` +
 * permits lent and not `returned` never exceed what the register says of this incarnation, or will say to any member
 * that may take it away.
 */
export class FleetCore {
  readonly #options: CoreOptions
  readonly #watch: FleetWatch
  #max: number
  /** Largest maximum told: the register may still have an earlier one. */
  #largestMax: number
  #replicas: number
  #inc: string
  #ended: readonly string[]
  readonly #register = new FleetRegister()
  #asked: { readonly question: FleetQuestion; readonly at: Instant } | null = null
  /** Names by incarnation of members and awaited ones, from the last state that included this one. */
  #known: Readonly<Record<string, string>>
  #era = ''
  #granted = 0
  #returned = 0
  /** When the last confirmed beat was sent; `null` before this incarnation's first. */
  #sentAt: Instant | null = null
  #beatAt = -Infinity
  #beat = -1
  #cut: string | null = null
  #want = 0
  #waitedMs = 0
  #toldAt = -Infinity
  #retryAt = -Infinity
  #leaving: 'no' | 'leaving' | 'left' = 'no'
  refusal: FleetRefusal | null = null

  constructor(options: CoreOptions) {
    this.#options = options
    this.#watch = new FleetWatch(options.times)
    this.#max = options.max
    this.#largestMax = options.max
    this.#replicas = options.replicas
    this.#ended = options.ended.slice(-MAX_ENDED)
    this.#known = options.known
    this.#inc = options.createInc()
  }

  get inc(): string {
    return this.#inc
  }

  get state(): FleetState | null {
    return this.#register.state
  }

  get known(): Readonly<Record<string, string>> {
    return this.#known
  }

  /** When the last confirmed beat was sent; the lease counts from here. */
  get sentAt(): Instant | null {
    return this.#sentAt
  }

  get held(): number {
    return this.#granted - this.#returned
  }

  get isMember(): boolean {
    return this.#inc in (this.state?.members ?? {})
  }

  get hasLeft(): boolean {
    return this.#leaving === 'left'
  }

  stage(now: Instant): FleetStage {
    if (this.#cut !== null) return 'cut'
    if (this.#sentAt === null) return 'joining'
    return termStage(this.#options.times, this.#sentAt, now)
  }

  size(now: Instant): number {
    return this.stage(now) === 'serving' ? this.#granted - this.#returned : 0
  }

  demand(now: Instant): FleetDemand {
    const { state } = this
    if (state === null || this.stage(now) !== 'serving') return NO_DEMAND
    const lease = this.#granted - this.#returned
    if (this.#leaving !== 'no') return { permits: lease, urgent: lease }
    return state.era === this.#era ? demandOn(state, this.#inc, lease) : NO_DEMAND
  }

  setWant(want: number, waitedMs: number): void {
    this.#want = want
    this.#waitedMs = Math.max(0, Math.round(waitedMs))
  }

  setSize(max: number, replicas: number): void {
    this.#max = max
    this.#largestMax = Math.max(this.#largestMax, max)
    this.#replicas = replicas
  }

  giveBack(permits: number): void {
    this.#returned += permits
  }

  /** All sockets are gone after a cut: another incarnation may begin. */
  onAllGone(): void {
    if (this.#cut === null) return
    this.#ended = [...this.#ended, this.#cut].slice(-MAX_ENDED)
    this.#cut = null
    this.#inc = this.#options.createInc()
    this.#register.isStale = true
  }

  leave(): void {
    if (this.#leaving === 'no') this.#leaving = 'leaving'
  }

  /** Another member has written; `null`: perhaps. */
  onNews(rev: number | null): void {
    this.#register.onNews(rev)
  }

  /** Must be asked, and answered by `onAnswer()` or `onUnknown()`. */
  next(now: Instant): FleetQuestion | null {
    this.#look(now)
    if (this.#asked !== null || now.mono < this.#retryAt) return null
    const question = this.#question(now)
    if (question !== null) this.#asked = { question, at: now }
    return question
  }

  onAnswer(answer: FleetAnswer, now: Instant): void {
    const asked = this.#asked
    this.#asked = null
    switch (answer.type) {
      case 'read':
        this.#adopt(answer.reading, now)
        break
      case 'cas':
        this.#adopt(answer.answer.reading, now)
        break
      case 'beat':
        if (asked?.question.type === 'beat') {
          this.#onBeat(answer.answer, { sentAt: asked.at, inc: asked.question.beat.inc, now })
        }
        break
    }
  }

  /** No answer: what was asked may have taken effect, or may do so later. */
  onUnknown({ mono }: Instant): void {
    this.#asked = null
    this.#register.isStale = true
    this.#retryAt = mono + this.#options.times.beatMs / 4
  }

  /** Monotonic ms at which `next()` may have a new question by itself. */
  wakeAt(now: Instant): number {
    const sentAt = this.#cut === null ? this.#sentAt : null
    const stageMs = sentAt === null ? Infinity : msToNextStage(this.#options.times, sentAt, now)
    const stageAt = now.mono + stageMs
    return this.#asked === null ? Math.min(stageAt, this.#askAt()) : stageAt // an answer wakes, too
  }

  #askAt(): number {
    if (this.#register.isStale) return this.#retryAt
    const entry = this.#cut === null ? this.state?.members[this.#inc] : undefined
    const isUntold = entry !== undefined && isWantNews(entry, this.#self().want)
    const at = isUntold ? Math.min(this.#beatAt, this.#toldAt + GAP_MS) : this.#beatAt
    return Math.max(at, this.#retryAt)
  }

  #question(now: Instant): FleetQuestion | null {
    if (now.mono >= this.#beatAt) {
      this.#beatAt = now.mono + this.#options.times.beatMs
      const beat = this.#nextBeat()
      return beat === null ? { type: 'read' } : { type: 'beat', beat }
    }
    if (this.#register.isStale) return { type: 'read' }
    return this.#propose(now)
  }

  #nextBeat() {
    const { state } = this
    if (state === null || !(this.#inc in state.members) || this.#cut !== null) return null
    if (this.#register.reading?.run !== state.run || state.era !== this.#era) return null
    return { run: state.run, inc: this.#inc }
  }

  /** The lease may have run out unnoticed: this process may have been stopped. */
  #look(now: Instant): void {
    if (this.#cut === null && this.stage(now) === 'cut') this.#cutOff()
  }

  #cutOff(): void {
    this.#cut = this.#inc
    this.#sentAt = null
    this.#era = ''
    this.#granted = 0
    this.#returned = 0
  }

  #onBeat(
    answer: BeatAnswer,
    { sentAt, inc, now }: { readonly sentAt: Instant; readonly inc: string; readonly now: Instant }
  ): void {
    this.#watch.onHeard(answer.beats, now)
    const { run, rev } = this.#register.reading ?? {}
    if (!answer.isKept || answer.run !== run || answer.rev !== rev) this.#register.isStale = true
    if (answer.isKept && answer.run === run && inc === this.#inc && this.#cut === null) {
      if (this.#isCounted(answer.beats[inc])) this.#sentAt = sentAt
      else this.#register.onBeatsLost()
    }
  }

  /** Beats only increase; if Valkey sets them back, other members may see none. */
  #isCounted(told: string | undefined): boolean {
    if (told === undefined) return true // nor is it told to others, who count nothing then
    const beat = Number(told)
    const isMore = beat > this.#beat
    if (isMore) this.#beat = beat
    return isMore
  }

  #adopt(reading: FleetReading, now: Instant): void {
    this.#look(now)
    this.#watch.onHeard(reading.beats, now)
    const state = this.#register.take(reading, this.#own())
    const { type } = reading.reading
    if (this.refusal !== 'name') {
      this.refusal = type === 'newer' || type === 'foreign' ? type : null
    }
    if (state === null) return
    this.#watch.onState(state, now)
    if (this.#cut !== null) return
    const entry = state.members[this.#inc]
    if (entry === undefined) {
      if (this.#leaving === 'leaving' && this.#granted === this.#returned) this.#leaving = 'left'
      else if (this.#era === state.era) this.#cutOff() // put out
      return
    }
    if (this.#era !== state.era) {
      this.#beatAt = now.mono // the lease of this era counts from its first beat
      this.#beat = -1
    }
    this.#era = state.era
    this.#granted = entry.granted
    this.#known = namesOf(state)
  }

  #own(): OwnEntry {
    const max = this.#largestMax
    return { inc: this.#inc, era: this.#era, granted: this.#granted, returned: this.#returned, max }
  }

  #propose(now: Instant): FleetQuestion | null {
    const { reading, state: found } = this.#register
    if (reading === null || this.#cut !== null || this.#leaving === 'left') return null
    const { type } = reading.reading
    if (type === 'newer' || type === 'foreign') return null
    const isLost = this.#register.isLost(this.#own())
    if (isLost && this.#leaving !== 'no') return null
    if (isLost && found !== null) this.#known = { ...namesOf(found), ...this.#known }
    const isNew = found === null || isLost
    const state = isNew ? this.#register.newEra(this.#inc, this.#options.check) : found
    const isMember = this.#inc in state.members
    const { events, expects } = isMember ? this.#news(state, now) : this.#entry(state, now)
    if (events.length === 0) return null
    const next = { ...nextFleet(state, events), check: this.#options.check }
    if (!isMember && !(this.#inc in next.members)) return this.#onNoRoom(state)
    this.#toldAt = now.mono
    const { run, rev } = reading
    return { type: 'cas', proposal: { run, rev, next, expects } }
  }

  #entry(state: FleetState, now: Instant): Told {
    if (this.#leaving !== 'no') return NOTHING
    const self = this.#self()
    const rival = self.isSole ? 'none' : this.#watch.rivalOf(rivalIn(state, self), now)
    if (rival === 'alive') this.refusal = 'name'
    if (rival !== 'none') return NOTHING
    // Permits without a confirmed beat were never used, and others may have them by now.
    if (this.#sentAt === null) this.#granted = this.#returned
    const event = enterEvent(state, this.#self())
    this.#ended = event.ended
    return { events: [event], expects: {} }
  }

  #news(state: FleetState, now: Instant): Told {
    if (this.#leaving === 'leaving' && this.#granted === this.#returned) {
      return { events: [{ type: 'leave', inc: this.#inc }], expects: {} }
    }
    return newsOf({ state, self: this.#self(), watch: this.#watch, toldAt: this.#toldAt, now })
  }

  /** An operator opened the fleet without us, and our connections no longer fit. */
  #onNoRoom({ members }: FleetState): null {
    if (this.#granted > this.#returned) this.#cutOff()
    else this.refusal = Object.keys(members).length > 0 ? 'full' : null
    return null
  }

  #self(): Self {
    const { name, isSole } = this.#options
    return {
      inc: this.#inc,
      name,
      isSole,
      max: this.#max,
      replicas: this.#replicas,
      granted: this.#granted,
      returned: this.#returned,
      isLeaving: this.#leaving !== 'no',
      want: this.#leaving === 'no' ? Math.min(this.#want, this.#max) : 0,
      waitedMs: this.#waitedMs,
      ended: this.#ended,
      known: this.#known
    }
  }
}
