import { fork } from 'node:child_process'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isatty } from 'node:tty'
import { inspect } from 'node:util'
import {
  availableCpus,
  chooseConnections,
  chooseWorkers,
  type ContainerLimits,
  readContainerLimits,
  readOpenFilesLimit
} from './config/container.ts'
import { DEFAULT_MEMORY_BYTES, type MemoryPlan, planMemory } from './config/memory-plan.ts'
import type { Config } from './config/settings.ts'
import type { ProcessLoadResult } from './config/load-process.ts'
import { isTracing } from './config/trace-settings.ts'
import type { FleetControl } from './control/fleet/fleet-control.ts'
import type { ReloadNews, SettingsOperations } from './control/panel/settings-actions.ts'
import type { Primary } from './control/primary.ts'
import type { CredentialSource } from './credentials/stored-credential.ts'
import {
  createLogger,
  LineWriter,
  type Logger,
  type LogStream,
  openOutput,
  STDERR,
  STDOUT,
  WORKER_LOG_FD
} from './observe/logger.ts'
import { DeferredSignals, SAME_SIGNAL_MS } from './shared/deferred-signals.ts'
import { operatorError, GatewayError } from './shared/errors.ts'
import { EXIT_CONFIG, EXIT_CRASH } from './shared/exit-codes.ts'
import { returnStartMemory } from './shared/garbage.ts'
import { entryOf, programName, toShownText } from './shared/program-name.ts'

/** Longest wait of an ending process for the reader of its log. */
const LAST_LINES_MS = 500
/** Time after which the start is over, the first workers' rehearsal included. */
const REST_MS = 3000
const STYLE_OPTION = '--log-style='
const ENTRY = fileURLToPath(new URL('start.js', import.meta.url))
const SIMULATOR_BANNER =
  'NO CREDENTIALS ARE CONFIGURED: answers come from the built-in simulator, not from a model. ' +
  'To use your Kiro subscription, run "kiro-gateway login" and "kiro-gateway setup claude" (or another client), then start again.'
const SIMULATOR = fileURLToPath(new URL('simulator/main.ts', import.meta.url))

/** Output for why the gateway cannot run, and for crashes of workers. */
const stderr = lastWritten(new LineWriter(cluster.isPrimary ? openOutput(STDERR) : STDERR))

// Each role loads only its half of the program; the other would cost some 20 MB a process.

async function runPrimary(): Promise<void> {
  process.on('SIGTERM', leave).on('SIGINT', leave)
  const hasTerminal = [0, 1, 2].some((fd) => isatty(fd))
  const signals = new DeferredSignals(process, ['SIGHUP', 'SIGUSR2'])
  const { loadProcessConfig, settingSources } = await import('./config/load-process.ts')
  const readSettings: SettingsReader = (lastFile = null) =>
    loadProcessConfig(process.argv.slice(2), '.env', lastFile)
  const loaded = readSettings()
  if (loaded.name === 'print') {
    process.stdout.write(loaded.text)
    return
  }
  const { config } = loaded
  const output = await openLog(loaded)
  const { log } = output
  const { requireFreePort } = await import('./shared/port-owner.ts')
  await requireFreePort(config.server)
  const shutdown: Shutdown = { begunAt: null, isRestart: false, failure: null, end: null }
  const { primary, fleet, simulator } = await createGateway(config, output, shutdown)
  const simulatorUrl = simulator?.url ?? null
  const end = onShutdown({ primary, fleet, simulator, shutdown, log })
  shutdown.end = end
  const operations = operationsOf({
    readSettings,
    sources: () => settingSources(process.argv.slice(2), '.env'),
    file: loaded.file,
    primary,
    simulatorUrl,
    restart: () => {
      if (shutdown.begunAt !== null) return // it would count as the second signal
      shutdown.isRestart = true
      end('SIGTERM')
    },
    isEnding: () => shutdown.begunAt !== null,
    log
  })
  primary.operate(operations)
  await fleet?.start()
  const port = await primary.start()
  signals.handle((signal) => {
    if (signal === 'SIGUSR2')
      void primary.restartWorkers() // never rejects
    else if (hasTerminal && ![0, 1, 2].some((fd) => isatty(fd))) end('SIGHUP')
    else void primary.reloadOnSignal(operations) // never rejects
  })
  const { logReady } = await import('./control/start-report.ts')
  logReady(log, config, port)
  if (simulatorUrl !== null && (output.style !== 'json' || process.stderr.isTTY))
    stderr.write(firstSteps())
  flushCompileCache()
  setTimeout(returnStartMemory, REST_MS).unref()
}

type SettingsReader = (lastFile?: string | null) => ProcessLoadResult

type LoadedSettings = Extract<ProcessLoadResult, { name: 'config' }>

interface LogOutput {
  readonly log: Logger
  readonly fd: number
  readonly style: LogStyle
}

async function openLog({ config, warnings }: LoadedSettings): Promise<LogOutput> {
  const fd = openOutput(STDOUT)
  const style = styleOf(config.observe)
  const stdout = await styled(lastWritten(new LineWriter(fd)), style)
  const log = createLogger(config.observe.level, { worker: 'primary' }, stdout)
  logWarnings(log)
  for (const warning of warnings) log.warn({ warning }, 'configuration warning')
  return { log, fd, style }
}

/** Everything that runs in this process. */
interface Gateway {
  readonly primary: Primary
  /** `null` outside a fleet. */
  readonly fleet: FleetControl | null
  /** `null` if answers come from Kiro. */
  readonly simulator: RunningSimulator | null
}

interface RunningSimulator {
  readonly url: string
  /** Resolves when its process is gone. */
  readonly stop: () => Promise<void>
}

async function createGateway(
  config: Config,
  { log, fd, style }: LogOutput,
  shutdown: Shutdown
): Promise<Gateway> {
  const [{ Primary }, { logLinks, logStart }, found, room] = await Promise.all([
    import('./control/primary.ts'),
    import('./control/start-report.ts'),
    findSource(config, log),
    config.fleet.url === null ? null : import('./control/fleet/fleet-control.ts')
  ])
  const isSimulated = found === null && !config.credentials.isKeyPassthrough
  const simulator = isSimulated ? await startSimulator(log, shutdown) : null
  const limits = readContainerLimits()
  const memory = planFor(config, limits, log)
  logStart(log, { config, limits, memory })
  await logLinks(log, config)
  const primary = new Primary({
    config: withUpstream(config, simulator?.url ?? null),
    source: isSimulated ? (await import('./credentials/sources.ts')).simulatorSource() : found,
    memory,
    isSimulated,
    workerEntry: ENTRY,
    log,
    forkLog: { fd, args: [STYLE_OPTION + style] },
    onStderr: (text) => stderr.write(text),
    onFatal: (cause) => {
      log.error({ err: cause }, 'the credentials are unusable: exiting')
      fail(cause)
    }
  })
  if (room === null) return { primary, fleet: null, simulator }
  const fleet = new room.FleetControl({
    config,
    budget: primary.budget,
    keys: primary.keys,
    devices: primary.devices,
    sessions: primary.sessions,
    knows: primary,
    tell: (message) => primary.broadcast(message),
    source: found,
    shareSignIn: (signIn) => primary.account.credentials.shareSignIn(signIn),
    log,
    onRefused: fail
  })
  primary.figures.showFleet(fleet.figures)
  return { primary, fleet, simulator }
}

/** Returns what reads the settings again. A file with a mistake, or none, changes nothing. */
function operationsOf({
  readSettings,
  sources,
  file,
  primary,
  simulatorUrl,
  restart,
  isEnding,
  log
}: {
  readonly readSettings: SettingsReader
  readonly sources: SettingsOperations['sources']
  readonly file: string | null
  readonly primary: Primary
  readonly simulatorUrl: string | null
  readonly restart: () => void
  readonly isEnding: () => boolean
  readonly log: Logger
}): SettingsOperations {
  let lastFile = file
  let lastSources = sources()
  const next = (): LoadedSettings => {
    const loaded = readSettings(lastFile)
    if (loaded.name === 'print') throw operatorError('The program was started to print a text.')
    return { ...loaded, config: withUpstream(loaded.config, simulatorUrl) }
  }
  const reloadNow = (): ReloadNews => {
    const { config, warnings, file: read } = next()
    for (const warning of warnings) log.warn({ warning }, 'configuration warning')
    const needRestart = primary.reload(config)
    lastFile = read
    return { needRestart, warnings }
  }
  return {
    reload: reloadNow,
    next: () => next().config,
    sources: () => {
      try {
        lastSources = sources()
      } catch {
        // A file that cannot be read now has set what is in force.
      }
      return lastSources
    },
    restart,
    canRestart: canStartAgain,
    isEnding
  }
}

async function runWorker(): Promise<void> {
  // Node would end the process, and every stream, with the channel.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  // Ctrl-C and the end of a terminal reach the whole process group; the primary says what to do.
  process
    .on('SIGINT', () => {})
    .on('SIGHUP', () => {})
    .on('SIGUSR2', () => {})
  const { GatewayWorker } = await import('./server/worker.ts')
  const style = process.argv.find((word) => word.startsWith(STYLE_OPTION))
  const lines = lastWritten(new LineWriter(WORKER_LOG_FD))
  const logStream = await styled(lines, style?.slice(STYLE_OPTION.length))
  const worker = new GatewayWorker(process, logStream, returnStartMemory)
  process.once('disconnect', () => worker.drain())
  process.on('SIGTERM', () => worker.drain())
  await worker.stopped
  process.exit(0)
}

/**
 * `null` without a sign-in.
 * @throws {GatewayError} GW_CONFIG_INVALID if there must be one
 */
async function findSource(config: Config, log: Logger): Promise<CredentialSource | null> {
  const { findCredentialSource } = await import('./credentials/usual-places.ts')
  const source = await findCredentialSource(config.credentials, { log })
  if (source !== null || !config.isProduction || config.credentials.isKeyPassthrough) return source
  const { NO_CREDENTIALS: message } = await import('./config/cross-checks.ts')
  throw operatorError(message)
}

function planFor(config: Config, limits: ContainerLimits, log: Logger): MemoryPlan {
  const workers = chooseWorkers(config, availableCpus(limits))
  const wanted = { workers, threads: config.transform.threads }
  const limitBytes = config.memory.limitBytes ?? limits.memoryBytes ?? DEFAULT_MEMORY_BYTES
  const plan = planMemory(limitBytes, { ...wanted, isTracing: isTracing(config) })
  if (plan.workers < wanted.workers || plan.threads < wanted.threads) {
    const facts = { limitBytes, wanted, workers: plan.workers, threads: plan.threads }
    log.warn(facts, 'not enough memory for all workers')
  }
  return { ...plan, connectionsPerWorker: chooseConnections(config, plan, readOpenFilesLimit()) }
}

/** Rejects if the simulator ends before serving; later its end drains the gateway. Its process ends with us. */
async function startSimulator(log: Logger, shutdown: Shutdown): Promise<RunningSimulator> {
  const { childEnvironment } = await import('./config/load-process.ts')
  const { promise, resolve, reject } = Promise.withResolvers<RunningSimulator>()
  const simulator = fork(SIMULATOR, [], {
    env: childEnvironment(),
    execArgv: ['--max-old-space-size=64', '--max-semi-space-size=2'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'] // see WORKER_LOG_FD
  })
  simulator.stderr?.setEncoding('utf8').on('data', (text: string) => stderr.write(text))
  const onFailed = (code: number | null): void => reject(simulatorEnded(code))
  const onGone = (code: number | null, signal: string | null): void => {
    if (shutdown.begunAt !== null) return // a signal to the whole group ends it first
    const error = simulatorEnded(code ?? signal)
    log.error({ err: error }, 'the simulator is not running: exiting')
    shutdown.failure = error
    if (shutdown.end === null) fail(error)
    shutdown.end('SIGTERM') // usage is still written
  }
  simulator.once('message', (message) => {
    simulator.off('exit', onFailed).once('exit', onGone)
    const port: unknown = Reflect.get(Object(message), 'port')
    log.warn(SIMULATOR_BANNER)
    const stop = async (): Promise<void> => {
      if (simulator.exitCode !== null || simulator.signalCode !== null) return
      simulator.kill()
      await once(simulator, 'exit')
    }
    resolve({ url: `http://127.0.0.1:${String(port)}`, stop })
  })
  simulator.once('exit', onFailed)
  return promise
}

function simulatorEnded(code: number | string | null): GatewayError {
  const message = `The built-in simulator exited (${code}), so nothing answers. Start the gateway again.`
  return new GatewayError('GW_INTERNAL', undefined, { message })
}

/** Text for people at a terminal. */
function firstSteps(): string {
  const program = ownName()
  const login = `${program} login && ${program} setup claude && ${program}`
  return `  Not signed in, so a simulator answers. For Claude Code on your Kiro\n  subscription, stop this and run:\n    ${login}\n`
}

function ownName(): string {
  return programName({ entry: entryOf(process.argv[1] ?? ENTRY), cwd: process.cwd() })
}

/** Reaches the simulator, which is on this machine, without the proxy. Sign-ins and webhooks still use it. */
function withUpstream(config: Config, url: string | null): Config {
  if (url === null) return config
  const upstream = { ...config.upstream, apiUrl: url, managementUrl: url }
  if (config.proxy.url === null) return { ...config, upstream } // HTTPS_PROXY is not for http://
  const { exceptions } = config.proxy
  const { host } = new URL(url)
  const proxy = {
    ...config.proxy,
    exceptions: exceptions === null ? host : `${exceptions},${host}`
  }
  return { ...config, upstream, proxy }
}

interface Shutdown {
  /** `performance.now()` of the first signal; `null` before. */
  begunAt: number | null
  /** The gateway starts again when it has ended. */
  isRestart: boolean
  /** Why the gateway ends by itself; `null` after a signal. */
  failure: GatewayError | null
  /** Begins it; `null` while the gateway is made. */
  end: ((signal: NodeJS.Signals) => void) | null
}

/** Returns the handler of signals: the first lets streams end, the second ends everything. */
function onShutdown({
  primary,
  fleet,
  simulator,
  shutdown,
  log
}: {
  readonly primary: Primary
  readonly fleet: FleetControl | null
  readonly simulator: RunningSimulator | null
  readonly shutdown: Shutdown
  readonly log: Logger
}): (signal: NodeJS.Signals) => void {
  const drain = (): Promise<void> => primary.drain()
  const onSignal = (signal: NodeJS.Signals): void => {
    const { begunAt } = shutdown
    if (begunAt !== null) {
      if (signal === 'SIGHUP' || performance.now() - begunAt < SAME_SIGNAL_MS) return
      log.warn({ signal }, 'second signal, exiting now')
      primary.destroy()
      process.exit(EXIT_CRASH)
    }
    shutdown.begunAt = performance.now()
    log.info({ signal }, 'draining')
    if (process.stderr.isTTY) setTimeout(() => void tellRunning(primary), SAME_SIGNAL_MS).unref()
    const drained = fleet === null ? drain() : fleet.drain(drain)
    const ended = async (): Promise<void> => {
      await drained
      log.info('drained')
      if (shutdown.failure !== null) fail(shutdown.failure)
      if (shutdown.isRestart) {
        await simulator?.stop() // its process would not be awaited later
        process.off('exit', leaveLookUps).on('exit', startAgain)
      }
      process.exit(0)
    }
    void ended().catch(fail)
  }
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  // Not earlier: removing the last listener loses a signal that has arrived but was not delivered.
  process.off('SIGTERM', leave).off('SIGINT', leave)
  return onSignal
}

async function tellRunning(primary: Primary): Promise<void> {
  const { requests, longestMs } = await primary.running()
  if (requests === 0) return
  const what = requests === 1 ? '1 request is' : `${requests} requests are`
  stderr.write(
    `\n  ${what} still running, for up to ${longestMs / 1000} s. Press Ctrl-C again to exit now.\n\n`
  )
}

/** `json`, or what makes lines for people: words as in `coloured 100`, since workers cannot ask the terminal. */
type LogStyle = string

function styleOf({ level, logFormat, noColor }: Config['observe']): LogStyle {
  const isTerminal = isatty(STDOUT)
  if (logFormat === 'json' || (logFormat === 'auto' && !isTerminal)) return 'json'
  const isColoured = isTerminal && noColor === null && process.stdout.hasColors()
  const extent = level === 'debug' || level === 'trace' ? 'verbose' : 'short'
  return `${isColoured ? 'coloured' : 'plain'} ${extent} ${isTerminal ? process.stdout.columns : 0}`
}

async function styled(lines: LineWriter, style: LogStyle = 'json'): Promise<LogStream> {
  if (style === 'json') return lines
  const { prettyLog } = await import('./observe/pretty-log.ts')
  const [colour, extent, columns] = style.split(' ')
  const pretty = prettyLog(lines, {
    isColoured: colour === 'coloured',
    isVerbose: extent === 'verbose',
    terminalColumns: Number(columns)
  })
  process.prependListener('exit', () => pretty.flush())
  return pretty
}

function lastWritten(output: LineWriter): LineWriter {
  process.prependListener('exit', () => output.flush(LAST_LINES_MS))
  return output
}

/** Node waits up to 10 s for the system's look-up of a name: a program that exits with the same code replaces us. */
function leaveLookUps(code: number): void {
  if (!process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap')) return
  if (!existsSync(process.execPath)) return // an update has removed it, and to fail to start it is a crash
  try {
    process.execve?.(process.execPath, [process.execPath, '-e', `process.exitCode = ${code}`], {})
  } catch {
    // Not on this system: it takes its time.
  }
}

function canStartAgain(): boolean {
  const canBeReplaced = typeof process.execve === 'function' && process.platform !== 'win32'
  const isThere = existsSync(process.execPath) // an update may have removed it
  return canBeReplaced && isThere && process.send === undefined // a channel would be lost to the next program
}

/** Runs the same program with the same words in our place, after the last lines of the log. */
function startAgain(): void {
  const words = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  process.execve?.(process.execPath, words)
}

/** Node would write them to a stream that may block. */
function logWarnings(log: Logger): void {
  if (process.listenerCount('warning') === 0) return // not wanted, says NODE_OPTIONS
  process.removeAllListeners('warning').on('warning', (err) => {
    const isExpected = err.name === 'ExperimentalWarning' && err.message.includes('SQLite')
    if (!isExpected) log.warn({ err }, 'Node.js warning')
  })
}

/** Handles signals: without this a container's first process ignores them, and is killed when the engine loses patience. */
function leave(): void {
  process.exit(0)
}

/** Explains on stderr; an error other than ours is a bug, and shown whole. */
function fail(cause: unknown): never {
  const isKnown = cause instanceof GatewayError
  const text = isKnown ? toShownText(cause.message, ownName()) : inspect(cause)
  stderr.write(`${text}\n`)
  process.exit(isKnown && cause.code === 'GW_CONFIG_INVALID' ? EXIT_CONFIG : EXIT_CRASH)
}

process.on('exit', leaveLookUps)
process.on('uncaughtException', fail) // Node itself would write to a stream that may block
if (cluster.isPrimary) {
  await runPrimary().catch(fail)
} else {
  await runWorker()
}
