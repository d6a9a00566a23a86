import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Flags belong to the process, so a thread that starts meanwhile may turn this one off before it is looked at. */
const MAX_TRIES = 1000

/**
 * Returns V8's function that collects garbage. V8 goes on taking code that was compiled with the flags of before.
 * @throws {Error} if V8 has no such function
 */
export function garbageCollector(): NonNullable<typeof globalThis.gc> {
  for (let tried = 0; tried < MAX_TRIES; tried++) {
    setFlagsFromString('--expose-gc')
    const found: typeof globalThis.gc = runInNewContext('globalThis.gc')
    setFlagsFromString('--no-expose-gc')
    if (found !== undefined) return found
  }
  throw new Error('V8 has no function that collects garbage')
}

/**
 * Returns memory to the system that only the start needed: sources of modules, code that ran once, room for young objects. That
 * is 8 to 12 MB of a process, which V8 keeps until it has collected several times. Takes 80 to 110 ms of CPU.
 * Never throws: without it the process only keeps that memory.
 */
export function returnStartMemory(): void {
  try {
    garbageCollector()({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  } catch {}
}
