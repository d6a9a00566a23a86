import type { Command, Place, Way } from './client.ts'
import type { Outcome } from './run-command.ts'

/** A client that is set up and can be asked. */
export interface Session {
  readonly way: Way
  readonly place: Place
  /** Sets the client up for `place`, by default its own, and runs a command of it to its end. */
  run(command: Command, place?: Place): Promise<Outcome>
}

/** Something that is tried with a client. */
export interface Trial {
  readonly name: string
  /** Resolves with what went wrong, or `null`. */
  readonly attempt: (session: Session) => Promise<string | null>
}
