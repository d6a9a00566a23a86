import type { LogLine } from '../helper/gateway-process.ts'
import type { Command, Place, Way } from './client.ts'
import type { Outcome } from './run-command.ts'

/** A client that is set up and can be asked. */
export interface Session {
  readonly way: Way
  readonly place: Place
  /** Sets the client up for `place`, by default its own, and runs a command of it to its end. */
  run(command: Command, place?: Place): Promise<Outcome>
  /** What the gateway has logged since the session began. */
  logged(): readonly LogLine[]
  /** How often the gateway has asked the upstream for an answer since then. */
  upstreamCalls(): number
  /** Adds to what the table says of this trial. */
  note(text: string): void
  /** Has the gateway ask again an account whose quota was used up. */
  forgive(): Promise<void>
}

/** Something that is tried with a client. */
export interface Trial {
  readonly name: string
  /** Resolves with what went wrong, or `null`. */
  readonly attempt: (session: Session) => Promise<string | null>
}
