import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../../config/load-process.ts'
import { CAPTURED_SETTINGS } from '../../server/worker/turn-capture.ts'
import { codeOf, GatewayError, unlessAborted } from '../../shared/errors.ts'
import { asJsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import type { RecordedTurn } from './capture-reader.ts'
import { isTimeout } from './upstream-player.ts'

const ENTRY = fileURLToPath(new URL('../../start.js', import.meta.url))
const START_MS = 60_000
const MODELS_MS = 10_000
/** For an upstream that never answers, when pauses are skipped. */
const FAST_TIMEOUT_S = '2'
const MAX_STDERR_CHARS = 4_000

export interface OwnGatewayOptions {
  readonly turn: RecordedTurn
  readonly upstreamUrl: string
  readonly isFast: boolean
  readonly signal: AbortSignal
}

/**
 * Starts a gateway of this version with the recorded settings and models, in a temporary folder.
 * @throws {GatewayError} GW_INTERNAL if it does not start; the signal's reason
 */
export async function startOwnGateway(
  options: OwnGatewayOptions
): Promise<AsyncDisposable & { readonly url: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'kiro-gateway-replay-')).catch((cause: unknown) => {
    throw failed(
      `A replay needs a temporary folder, and none can be created in ${tmpdir()} (${codeOf(cause)}).`
    )
  })
  const child = spawn(process.execPath, [ENTRY], {
    cwd: folder,
    env: { ...childEnvironment(), ...settingsFor(options, folder) },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const stop = (): Promise<void> => end(child, folder)
  try {
    const url = await urlOf(child, options.signal)
    await awaitModels(url, options)
    return { url, [Symbol.asyncDispose]: stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** Workers get the list a moment after it has come. */
async function awaitModels(url: string, { turn, signal }: OwnGatewayOptions): Promise<void> {
  const { isLive, models } = turn.facts.catalogue
  const wanted = models.map(({ id }) => id).find((id) => id !== 'auto')
  if (!isLive || wanted === undefined) return
  const deadline = performance.now() + MODELS_MS
  while (performance.now() < deadline) {
    const response = await fetch(`${url}/v1/models`, { signal })
    const list: unknown = parseJsonObject(await response.text())?.['data']
    const ids = (Array.isArray(list) ? list : []).map((one) => asJsonObject(one)?.['id'])
    if (models.every(({ id }) => ids.includes(id))) return
    await delay(50, undefined, { signal })
  }
}

/** Recorded settings can name neither hosts nor paths. */
function settingsFor({ turn, upstreamUrl, isFast }: OwnGatewayOptions, folder: string) {
  const recorded = Object.entries(turn.facts.settings).filter(([name]) =>
    CAPTURED_SETTINGS.has(name)
  )
  const [form, ...others] = new Set(turn.calls.map((call) => call.form))
  const isWaiting = isFast && turn.calls.some(isTimeout)
  return {
    ...Object.fromEntries(recorded),
    ...(form !== undefined && others.length === 0 && { KIRO_REQUEST_FORM: form }),
    ...(isWaiting && {
      FIRST_TOKEN_TIMEOUT: FAST_TIMEOUT_S,
      STREAMING_READ_TIMEOUT: FAST_TIMEOUT_S
    }),
    HOME: folder,
    STATE_DIR: join(folder, 'state'),
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: '0',
    WORKERS: '1',
    DRAIN_TIMEOUT: '0', // nothing of what still runs is wanted when it ends
    USAGE_LOG: 'false',
    FETCH_URLS: 'false', // a replay calls no other host
    KIRO_API_KEY: 'ksk_replayed-by-the-gateway-itself',
    KIRO_API_URL: upstreamUrl
  }
}

async function urlOf(child: ChildProcess, signal: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-MAX_STDERR_CHARS)
  })
  child.once('error', (cause) =>
    reject(failed(`The gateway of the replay could not be started: ${cause.message}.`))
  )
  child.once('close', () =>
    reject(failed(`The gateway of the replay exited at once:\n${said.trim()}`))
  )
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const logged = parseJsonObject(line) ?? {}
      if (textMember(logged, 'msg') === 'gateway ready') resolve(textMember(logged, 'url') ?? '')
    })
  }
  const late = AbortSignal.timeout(START_MS)
  return unlessAborted(promise, AbortSignal.any([signal, late])).catch((cause: unknown) => {
    throw late.aborted ? failed('The gateway of the replay does not become ready.') : cause
  })
}

async function end(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const closed = once(child, 'close')
    child.kill('SIGTERM')
    await closed
  }
  await rm(folder, { recursive: true, force: true, maxRetries: 5 }).catch(() => {}) // a worker may still write
}

function failed(message: string): GatewayError {
  return new GatewayError('GW_INTERNAL', undefined, { message })
}
