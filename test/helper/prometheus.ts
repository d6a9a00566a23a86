import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { freePort } from './free-port.ts'

const FOLDER = join(import.meta.dirname, '../../docs')

/** What the project gives to people who run Prometheus and Grafana. */
export const PROMETHEUS_FOLDER = join(FOLDER, 'prometheus')
export const GRAFANA_FILE = join(FOLDER, 'grafana/kiro-gateway.json')

/**
 * For a test's `skip`: why it can't run, or false. With PROMETHEUS_REQUIRED, as in `.ci/run`, its absence is an error.
 */
export function withoutPrometheus(): string | false {
  const missing = ['prometheus', 'promtool'].filter(
    (program) => spawnSync(program, ['--version']).error !== undefined
  )
  if (missing.length === 0) return false
  const why = `${missing.join(' and ')} not found: "apt-get install prometheus" brings both`
  if (process.env['PROMETHEUS_REQUIRED'] !== undefined) throw new Error(why)
  return why
}

/** Runs promtool; gives what it says, and fails when that is an error. */
export function promtool(...args: readonly string[]): string {
  return execFileSync('promtool', args, { encoding: 'utf8', stdio: 'pipe' })
}

interface QueryAnswer {
  readonly status: string
  readonly error?: string
  readonly data?: { readonly result: readonly unknown[] }
}

export interface FiredAlert {
  readonly name: string
  readonly summary: string
  readonly description: string
}

/** A real Prometheus on loopback, until the test is over. */
export class PrometheusProcess {
  readonly #url: string

  private constructor(url: string) {
    this.#url = url
  }

  /** Resolves when it answers. `folder` holds the configuration, and takes its data. */
  static async start(t: Test, configFile: string, folder: string): Promise<PrometheusProcess> {
    const port = await freePort()
    const child = spawn(
      'prometheus',
      [
        `--config.file=${configFile}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error'
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] }
    )
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const exited = once(child, 'exit')
    t.teardown(async () => {
      child.kill('SIGKILL')
      await exited
    })
    const url = `http://127.0.0.1:${port}`
    for (;;) {
      if (child.exitCode !== null) throw new Error(`prometheus ended: ${said}`)
      const isReady = await fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false
      )
      if (isReady) return new PrometheusProcess(url)
      await delay(50)
    }
  }

  /** What an expression gives now. Fails for one that Prometheus does not understand. */
  async query(expr: string): Promise<readonly unknown[]> {
    const response = await fetch(`${this.#url}/api/v1/query`, {
      method: 'POST',
      body: new URLSearchParams({ query: expr })
    })
    const answer = (await response.json()) as QueryAnswer
    if (answer.status !== 'success') throw new Error(`${expr}: ${answer.error}`)
    return answer.data?.result ?? []
  }

  /** The alerts that fire now. */
  async firing(): Promise<readonly FiredAlert[]> {
    const response = await fetch(`${this.#url}/api/v1/alerts`)
    const { data } = (await response.json()) as {
      readonly data: {
        readonly alerts: readonly {
          readonly state: string
          readonly labels: Readonly<Record<string, string>>
          readonly annotations: Readonly<Record<string, string>>
        }[]
      }
    }
    return data.alerts
      .filter(({ state }) => state === 'firing')
      .map(({ labels, annotations: { summary = '', description = '' } }) => ({
        name: labels['alertname'] ?? '',
        summary,
        description
      }))
  }
}
