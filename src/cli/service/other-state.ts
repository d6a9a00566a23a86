import { existsSync } from 'node:fs'
import { entryOf } from '../../shared/program-name.ts'
import { isRoot } from './service-place.ts'
import type { CommandCall } from '../command.ts'
import { SYSTEM_PLACES } from './definition.ts'
import { asService, SYSTEM_UNIT } from './systemd.ts'

/** Runner of a command, and the place of its keys and sign-in. */
export interface StatePlace {
  readonly isRoot: boolean
  /** True if a system service is installed here. */
  readonly hasService: boolean
  readonly stateDir: string
  /** Absolute path of `start.js`. */
  readonly entry: string
}

/** Returns the sentence for root, whose keys and sign-in a system service does not know. `null` for others. */
export function otherStateNote(place: StatePlace, command: string): string | null {
  if (!place.isRoot || !place.hasService || place.stateDir === SYSTEM_PLACES.state) return null
  return `This is in ${place.stateDir}. The system service has its own in ${SYSTEM_PLACES.state}. For the service, run:\n  ${asService(command, place.entry)}`
}

/** Tells root where a command's state is, if the system service has another. */
export function noteOtherState({ terminal }: CommandCall, stateDir: string, command: string): void {
  const entry = entryOf(process.argv[1] ?? '')
  const place = { isRoot: isRoot(), hasService: existsSync(SYSTEM_UNIT), stateDir, entry }
  const note = otherStateNote(place, command)
  if (note !== null) terminal.note(note)
}
