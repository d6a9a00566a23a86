import { readdirSync, readFileSync } from 'node:fs'

/** Ends what clients left running in the background with this home folder. Only Linux tells which those are. */
export function endLeftovers(home: string): void {
  if (process.platform !== 'linux') return
  for (const pid of readdirSync('/proc').map(Number)) {
    if (!(pid > 0) || !environmentOf(pid).includes(`HOME=${home}`)) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it has ended meanwhile
    }
  }
}

/** Empty for processes that have ended or belong to others. */
function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    return []
  }
}
