import type { Outgoing } from './cluster-types.ts'
import type { WorkerLink } from './worker-link.ts'

/** The workers that run now, by slot. */
export class WorkerLinks {
  readonly #links = new Map<number, WorkerLink>()

  /** A worker fills its slot; the predecessor, if any, is gone. */
  add(link: WorkerLink): void {
    this.#links.set(link.id, link)
  }

  remove(link: WorkerLink): void {
    if (this.#links.get(link.id) === link) this.#links.delete(link.id)
  }

  /** By its name in the ledger. */
  find(member: string): WorkerLink | null {
    for (const link of this.#links.values()) if (link.member === member) return link
    return null
  }

  /** Sends to all; returns the members that it was sent to. */
  broadcast(message: Outgoing): readonly string[] {
    const links = [...this.#links.values()]
    for (const link of links) link.send(message)
    return links.map(({ member }) => member)
  }
}
