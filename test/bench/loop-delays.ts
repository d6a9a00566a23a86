import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { LoopDelay } from './loop-delay-probe.ts'
import type { Target } from './target.ts'

/** How late the event loops of targets run that were started with `env`. */
export class LoopDelays {
  readonly env: Readonly<Record<string, string>>
  readonly #folder: string

  /** `folder` does not exist yet: the processes report there. */
  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
    const probe = new URL(`loop-delay-probe.ts?to=${encodeURIComponent(folder)}`, import.meta.url)
    this.env = { NODE_OPTIONS: `--import=${probe.href}` }
  }

  /** Of each process since this was last asked, the primary's first. */
  async of({ tree }: Target): Promise<readonly LoopDelay[]> {
    const delays: LoopDelay[] = []
    for (const pid of tree.pids()) {
      process.kill(pid, 'SIGURG')
      delays.push(await readReport(`${this.#folder}/${pid}`))
    }
    return delays
  }

  /** The worst of each figure over all processes. */
  async worstOf(target: Target): Promise<LoopDelay> {
    const delays = await this.of(target)
    const worst = (name: keyof LoopDelay) => Math.max(...delays.map((one) => one[name]))
    return {
      p50: worst('p50'),
      p99: worst('p99'),
      worst: worst('worst'),
      ownWorst: worst('ownWorst'),
      samples: worst('samples')
    }
  }
}

async function readReport(file: string): Promise<LoopDelay> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      const report: LoopDelay = JSON.parse(readFileSync(file, 'utf8'))
      rmSync(file)
      return report
    } catch {
      await delay(10)
    }
  }
  throw new Error(`no report ${file}: does the process have the probe?`)
}
