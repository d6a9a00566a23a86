import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Returns V8's function that collects garbage. V8 goes on taking code that was compiled with the flags of before. */
export function garbageCollector(): NonNullable<typeof globalThis.gc> {
  setFlagsFromString('--expose-gc')
  try {
    return runInNewContext('gc')
  } finally {
    setFlagsFromString('--no-expose-gc')
  }
}

/**
 * Returns memory to the system that only the start needed: sources of modules, code that ran once, room for young objects. That
 * is 8 to 12 MB of a process, which V8 keeps until it has collected several times. Blocks the event loop for some 70 ms.
 */
export function returnStartMemory(): void {
  garbageCollector()({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
