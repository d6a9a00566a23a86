import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import type { UsageMeter } from '../../dialects/answer/usage.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { Metering } from '../../ipc/usage-row.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { Charge } from '../primary/key-limits.ts'
import { listedCredits } from '../../kiro/models/models.ts'
import type { Progress } from '../worker/open-turns.ts'
import { type Attempt, type AttemptOutcome, isWantOfRoom } from './attempt.ts'

export interface BillOptions {
  readonly plane: Pick<DataPlane, 'prices' | 'models'>
  readonly plan: ReplyPlan
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly charge: Charge | null
}

interface BilledCall extends Pick<Attempt, 'reading' | 'isReadOut' | 'isRefused'> {
  readonly meter: Pick<UsageMeter, 'credits' | 'saidTokens'>
}

/** Adds up metered costs, or tokens at the learnt price. A call that is read on may end long after the answer. */
export class Bill {
  readonly #options: BillOptions
  #unmetered = 0
  #isClosed = false

  constructor(options: BillOptions) {
    this.#options = options
  }

  /** Unknown price and a limited key: the call must be metered, whatever its client does. */
  get isUnpriced(): boolean {
    return this.#options.charge?.isUnpriced ?? false
  }

  add(call: BilledCall, outcome: AttemptOutcome): void {
    const { signal, progress } = this.#options
    const facts = { outcome, isGone: signal.aborted, creditsBefore: call.meter.credits }
    const { reading } = call
    if (reading === null) return this.#enter(call, facts)
    this.#unmetered += 1
    progress.owe(this.#enterOnce(reading, call, facts))
  }

  async #enterOnce(metered: Promise<void>, call: BilledCall, facts: CallFacts): Promise<void> {
    await metered
    this.#unmetered -= 1
    this.#enter(call, facts)
    this.#settle()
  }

  close(): void {
    this.#isClosed = true
    this.#settle()
  }

  #settle(): void {
    const { charge, progress } = this.#options
    if (!this.#isClosed || this.#unmetered > 0 || charge === null) return
    charge.settle()
    progress.charges.push(charge)
  }

  #enter(call: BilledCall, { outcome, isGone, creditsBefore }: CallFacts): void {
    const { plane, plan, charge, progress } = this.#options
    const { isReadOut } = call
    const { credits, saidTokens: outputTokens } = call.meter
    const isAnswered = outcome.name === 'answered'
    const isLeft = !isAnswered && !call.isRefused && wasAtWork(outcome, isGone)
    const isMeant = isAnswered || isLeft
    const { upstreamModel: model, inputTokens } = plan
    const answer = { model, inputTokens, outputTokens }
    const isWhole = credits !== null && isReadOut
    // A call that was metered needs no list.
    const listed = isWhole
      ? 0
      : listedCredits(answer, plane.models.catalogue.models) * MICROS_PER_CREDIT
    const measured = isMeant && !isWhole ? plane.prices.measure(answer, listed) : null
    charge?.add({ credits, isAnswered, isLeft, measured })
    const metered = credits === null ? 0 : Math.round(credits * MICROS_PER_CREDIT)
    if (credits !== null || measured !== null || (isMeant && charge !== null)) {
      const how: Metering =
        isMeant && !isWhole ? 'measured' : credits === creditsBefore ? 'metered' : 'read on'
      progress.meter(Math.max(metered, measured ?? 0), how)
    }
    // All answers teach prices, for keys with a limit.
    if (isMeant && isWhole) plane.prices.learn(answer, metered)
    else if (isAnswered && isReadOut) plane.prices.learnUnmetered(answer, listed)
  }
}

interface CallFacts {
  readonly outcome: AttemptOutcome
  readonly isGone: boolean
  readonly creditsBefore: number | null
}

/** The upstream was at work, and not at fault, when the call was left. */
function wasAtWork(outcome: Extract<AttemptOutcome, { name: 'failed' }>, isGone: boolean): boolean {
  const { phase, error } = outcome
  return isGone ? phase !== 'connecting' : phase === 'answering' && isWantOfRoom(error)
}
