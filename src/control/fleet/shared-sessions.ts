import { SESSION_MS } from '../../dashboard/session.ts'
import type { EndedSession } from '../../ipc/dashboard.ts'
import { type Checked, jsonReader, Type } from '../../shared/schema-type.ts'
import type { PanelSessions } from '../panel-sessions.ts'
import type { FoundValue, SharedRecords, SharedValue } from './shared-records.ts'

/** More than people end in twelve hours; those that expire first are left out. */
const MAX_SHARED = 2_000

const Ended = Type.Object({
  ended: Type.Array(
    Type.Object({
      id: Type.String({ minLength: 1, maxLength: 64 }),
      expiresAt: Type.Number({ minimum: 0 })
    }),
    { maxItems: MAX_SHARED }
  )
})

type EndedRecord = Checked<typeof Ended>

export interface SharedSessionsOptions {
  readonly sessions: Pick<PanelSessions, 'ended' | 'adopt' | 'share'>
  readonly hub: Pick<SharedRecords, 'add'>
  /** Epoch ms. */
  readonly now?: () => number
}

/** Shares in a fleet which sessions of the panel have ended: a copy of their cookie is worth nothing at any gateway. */
export class SharedSessions implements SharedValue<EndedRecord> {
  readonly name = 'sessions'
  readonly gapMs = 0
  readonly #options: SharedSessionsOptions
  readonly #now: () => number

  constructor(options: SharedSessionsOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  start(): void {
    const { sessions, hub } = this.#options
    sessions.share(hub.add(this))
  }

  readonly parse = jsonReader(Ended)

  readonly ttlMs = (): number => SESSION_MS

  /** Bounded by MAX_SHARED sessions. */
  readonly next = (found: FoundValue<EndedRecord> | null): EndedRecord | null => {
    const there = new Set(found?.value.ended.map(({ id }) => id))
    const own = this.#options.sessions.ended.filter(({ id }) => !there.has(id))
    const ended = this.#newest([...(found?.value.ended ?? []), ...own])
    return ended.some(({ id }) => !there.has(id)) ? { ended } : null
  }

  readonly onFound = ({ value }: FoundValue<EndedRecord>): void => {
    for (const session of this.#newest(value.ended)) this.#options.sessions.adopt(session)
  }

  /** Without those that have expired, by any clock of the fleet. */
  #newest(sessions: readonly EndedSession[]): EndedSession[] {
    const now = this.#now()
    return sessions
      .filter(({ expiresAt }) => expiresAt > now)
      .toSorted((one, other) => other.expiresAt - one.expiresAt || (one.id < other.id ? -1 : 1))
      .slice(0, MAX_SHARED)
  }
}
