import { existsSync } from 'node:fs'
import { entryOf } from '../../shared/program-name.ts'
import { isRoot } from './service-place.ts'
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

/** Returns what this process and machine are. */
export function statePlace(stateDir: string): StatePlace {
  const entry = entryOf(process.argv[1] ?? '')
  return { isRoot: isRoot(), hasService: existsSync(SYSTEM_UNIT), stateDir, entry }
}
