import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { isatty } from 'node:tty'
import { FINAL_EXITS } from './definition.ts'
import { LOG_FILE, LogFile } from './log-file.ts'

const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGUSR2'] as const

/**
 * Runs the gateway for launchd, which neither bounds a log nor tells exit codes apart: keeps the log in files, passes signals on,
 * and ends with 0 where launchd is not to start it again.
 */
export async function runGateway(entry: string, home: string): Promise<number> {
  using log = new LogFile(path.join(home, LOG_FILE))
  const child = spawn(process.execPath, [entry], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: !isatty(0) // signals reach it once, through us
  })
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
  for (const signal of SIGNALS) process.on(signal, pass)
  try {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => log.write(chunk))
    const [code] = await once(child, 'close')
    return code === null || FINAL_EXITS.has(code) ? Number(code === null) : code
  } finally {
    for (const signal of SIGNALS) process.off(signal, pass)
  }
}
