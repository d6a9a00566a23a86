import { SESSION_MS } from '../../dashboard/session.ts'
import type { EndedSession } from '../../ipc/dashboard.ts'
import { type Checked, jsonReader, Type } from '../../shared/schema-type.ts'
import type { PanelSessions } from '../panel-sessions.ts'
import type { SharedValue } from './shared-records.ts'

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

/** Returns which sessions of the panel have ended, as a fleet shares it: a copy of their cookie is worth nothing at any gateway. */
export function sharedSessions(
  sessions: Pick<PanelSessions, 'ended' | 'adopt'>
): SharedValue<EndedRecord> {
  return {
    name: 'sessions',
    gapMs: 0,
    parse: jsonReader(Ended),
    ttlMs: () => SESSION_MS,
    next: (found) => {
      const known = found?.value.ended ?? []
      const there = new Set(known.map(({ id }) => id))
      const ended = newest([...known, ...sessions.ended.filter(({ id }) => !there.has(id))])
      return ended.some(({ id }) => !there.has(id)) ? { ended } : null
    },
    onFound: ({ value }) => {
      for (const session of newest(value.ended)) sessions.adopt(session)
    }
  }
}

/** Leaves out those that have expired, by any clock of the fleet. */
function newest(sessions: readonly EndedSession[]): EndedSession[] {
  const now = Date.now()
  return sessions
    .filter(({ expiresAt }) => expiresAt > now)
    .toSorted((one, other) => other.expiresAt - one.expiresAt || (one.id < other.id ? -1 : 1))
    .slice(0, MAX_SHARED)
}
