import { rm } from 'node:fs/promises'
import path from 'node:path'
import { makeFolder, replaceFile } from '../../shared/private-files.ts'
import type { ServiceStep } from './init-system.ts'
import type { Programs } from './programs.ts'

/** Writes the unit or the property list. It holds no secrets. */
export function definitionStep(file: string, text: string): ServiceStep {
  return {
    what: `Writes ${file}`,
    text,
    run: async () => {
      await makeFolder(path.dirname(file))
      await replaceFile(file, { text, mode: 0o644, isDurable: true })
    }
  }
}

/** Runs a program of the system, which must not fail. */
export function programStep(programs: Programs, ...words: [string, ...string[]]): ServiceStep {
  return {
    what: words.filter((word) => word !== '--quiet').join(' '),
    run: () => programs.require(...words)
  }
}

/** Removes a file, or a folder with all that is in it. */
export function removalStep(place: string): ServiceStep {
  return {
    what: `Removes ${place}`,
    run: () => rm(place, { recursive: true, force: true })
  }
}
