import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Teardown {
  teardown(close: () => unknown): void
}

/**
 * A clock that a test sets while a gateway runs by it: the time of day jumps and timers go on, as where an operator or NTP
 * sets the clock of a machine.
 */
export class SetClock {
  readonly #folder: string

  constructor(t: Teardown, now = Date.now()) {
    this.#folder = mkdtempSync(join(tmpdir(), 'set-clock-'))
    t.teardown(() => rmSync(this.#folder, { recursive: true, force: true }))
    this.set(now)
  }

  /** Has the clock say `now` at this moment, epoch ms; all processes see it at once. */
  set(now: number): void {
    const next = join(this.#folder, 'next')
    writeFileSync(next, String(Math.round(now - Date.now())))
    renameSync(next, this.#file) // nobody reads half of it
  }

  /** What has a program of Node run by this clock, with its processes and threads. */
  get env(): Readonly<Record<string, string>> {
    const preload = new URL('set-clock-preload.ts', import.meta.url)
    preload.searchParams.set('offset', this.#file)
    return { NODE_OPTIONS: `--import=${preload.href}` }
  }

  get #file(): string {
    return join(this.#folder, 'offset')
  }
}
