import type { Session } from './session.ts'

type Ended = Pick<Session, 'id' | 'expiresAt'>

/** More than people end in twelve hours; the oldest are forgotten. */
const MAX_ENDED = 10_000

/** Sessions that have been ended: a copy of their cookie is worth nothing. */
export class EndedSessions {
  /** Expiry by id. Bounded by MAX_ENDED. */
  readonly #ended = new Map<string, number>()

  add({ id, expiresAt }: Ended, now = Date.now()): void {
    for (const [other, until] of this.#ended) {
      if (until > now && this.#ended.size < MAX_ENDED) break
      this.#ended.delete(other)
    }
    this.#ended.set(id, expiresAt)
  }

  has(id: string): boolean {
    return this.#ended.has(id)
  }

  list(): readonly Ended[] {
    return Array.from(this.#ended, ([id, expiresAt]) => ({ id, expiresAt }))
  }
}
