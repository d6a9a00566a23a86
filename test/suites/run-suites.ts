import { execFile } from 'node:child_process'
import { lookup } from 'node:dns/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { installClient } from '../clients/install-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { ActingUpstream } from './acting/acting-upstream.ts'
import type { Suite, SuitePlace } from './suite.ts'
import { fetchSource } from './suite-source.ts'
import { judge, type Verdict } from './verdict.ts'

const KEY = 'a-key-of-the-gateway'
const MODEL = 'claude-sonnet-5'
const GATEWAY_ENVIRONMENT = {
  PROXY_API_KEY: KEY,
  WORKERS: '1',
  UPSTREAM_MAX_ATTEMPTS: '1'
}
const PYTHON = process.env['SUITES_PYTHON'] ?? 'python3'
const MAX_LINE_CHARS = 400
const MAX_SHOWN = 20
/** Packages and sources stay here between runs. */
const ROOT = join(tmpdir(), 'kiro-gateway-suites')

export interface SuiteResult {
  readonly suite: Suite
  /** `null`: the suite could not be had on this machine. */
  readonly verdict: Verdict | null
  /** Why it could not be had. */
  readonly absence?: string
  /** Of its first package. */
  readonly version: string
  /** Its files were a copy that somebody made, not those of the commit. */
  readonly isCopy: boolean
  readonly seconds: number
}

export interface RunSuitesOptions {
  readonly suites: readonly Suite[]
  readonly signal: AbortSignal
  readonly onProgress: (line: string) => void
}

/** Installs and runs each suite against a gateway and a model of its own, one after the other. */
export async function runSuites(options: RunSuitesOptions): Promise<readonly SuiteResult[]> {
  const results: SuiteResult[] = []
  for (const suite of options.suites) {
    if (options.signal.aborted) break
    const startedAt = performance.now()
    const outcome = await runSuite(suite, options.signal)
    results.push({ suite, ...outcome, seconds: (performance.now() - startedAt) / 1000 })
    options.onProgress(progressOf(suite, outcome))
  }
  return results
}

/** @throws where the interpreter does not have it; `programs/requirements.txt` says what is wanted. */
async function versionInPython(name: string): Promise<string> {
  const script = `import ${name}; print(${name}.__version__)`
  const { stdout } = await promisify(execFile)(PYTHON, ['-c', script])
  return stdout.trim()
}

/** Whether the gateway can fetch the pictures and documents that some suites name by their URLs. */
async function reachesInternet(): Promise<boolean> {
  try {
    await lookup('upload.wikimedia.org')
    return true
  } catch {
    return false
  }
}

type Outcome = Omit<SuiteResult, 'suite' | 'seconds'>

async function runSuite(suite: Suite, signal: AbortSignal): Promise<Outcome> {
  let [version = ''] = Object.values(suite.packages)
  let isCopy = false
  let installed: string
  try {
    installed = await installClient(suite, ROOT)
    if (suite.source !== undefined) {
      isCopy = (await fetchSource(suite.source, join(installed, 'source'))) === 'copy'
    }
    if (suite.pythonPackage !== undefined) version = await versionInPython(suite.pythonPackage)
  } catch (error) {
    return { verdict: null, version, isCopy, absence: String(error) }
  }
  const upstream = await ActingUpstream.start()
  const gateway = await startGateway({
    upstreamUrl: upstream.url,
    env: { ...GATEWAY_ENVIRONMENT, KIRO_AUTH_URL: upstream.url }
  })
  try {
    const { url } = gateway
    const isOnline = await reachesInternet()
    const place: SuitePlace = {
      url,
      key: KEY,
      model: MODEL,
      installed,
      python: PYTHON,
      isOnline,
      signal
    }
    return { version, isCopy, verdict: judge(await suite.run(place), suite.exclusions) }
  } finally {
    await gateway.stop()
    await upstream.close()
  }
}

function progressOf({ id }: Suite, { verdict, absence }: Outcome): string {
  if (verdict === null) return `${id}: not run: ${absence}`
  const { passed, excluded, failures } = verdict
  const count = excluded.reduce((sum, { names }) => sum + names.length, 0)
  const head = `${id}: ${passed} passed, ${failures.length} failed, ${count} excluded`
  const shown = failures.slice(0, MAX_SHOWN).map((failure) => `  ${inOneLine(failure)}`)
  const rest = failures.length - shown.length
  return [head, ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])].join('\n')
}

function inOneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, MAX_LINE_CHARS)
}
