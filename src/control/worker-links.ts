import type { Outgoing } from './cluster-types.ts'
import type { WorkerLink } from './worker-link.ts'

/** The workers that run now, by their names in the ledger; while one replaces another, two of a slot. */
export class WorkerLinks {
  /** Bounded by WORKERS, twice while they are replaced. */
  readonly #links = new Map<string, WorkerLink>()

  add(link: WorkerLink): void {
    this.#links.set(link.member, link)
  }

  remove({ member }: WorkerLink): void {
    this.#links.delete(member)
  }

  find(member: string): WorkerLink | null {
    return this.#links.get(member) ?? null
  }

  /** Sends to all; returns the members that it was sent to. */
  broadcast(message: Outgoing): readonly string[] {
    const links = [...this.#links.values()]
    for (const link of links) link.send(message)
    return links.map(({ member }) => member)
  }
}
