import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import {
  type Bindings,
  type ChildLoggerOptions,
  type DestinationStream,
  type LevelWithSilent,
  type Logger,
  pino,
  stdTimeFunctions
} from 'pino'
import { codeOf, GatewayError } from '../shared/errors.ts'

export type { Logger } from 'pino'

export interface LogStream extends DestinationStream {
  readonly lost?: number
  readonly onLoss?: (tell: (lines: number) => void) => void
}

/**
 * JSON lines with a constant lower-case message and facts as fields. Errors belong under `err`, request ids under
 * `request_id`; secrets are removed at any depth. Lines are written synchronously, so that a crash loses none, and stay
 * under 4 KiB: up to `PIPE_BUF` the pipe that processes share never mixes them
 * (https://man7.org/linux/man-pages/man7/pipe.7.html).
 */
export function createLogger(
  level: LevelWithSilent,
  bindings: Readonly<Record<string, unknown>>,
  stream: LogStream = new LineWriter(STDOUT)
): Logger {
  const base = { pid: process.pid, ...bindings }
  const taken = [...PINO_NAMES, ...Object.keys(base)]
  const logger = pino(
    {
      level,
      base,
      timestamp: stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        bindings: toLogFields,
        log: (fields) => withoutClashes(toLogFields(fields), taken)
      },
      hooks: {
        streamWrite: toShortLine,
        logMethod([first, ...rest], method) {
          // An error's message is not constant and may hold a secret.
          if (first instanceof Error) method.call(this, { err: first }, 'unexpected error')
          else if (typeof first === 'string') method.call(this, cleanText(first), ...rest)
          else method.call(this, first, ...rest)
        }
      }
    },
    stream
  )
  // Formatters do not see the bindings of children. Children inherit this method from the root.
  const makeChild: Logger['child'] = Reflect.get(logger, 'child')
  logger.child = function <Levels extends string = never>(
    fields: Bindings,
    options?: ChildLoggerOptions<Levels>
  ): Logger<Levels> {
    return Reflect.apply(makeChild<Levels>, this, [toLogFields(fields), options])
  }
  stream.onLoss?.((lines) => logger.warn({ lines }, 'log lines dropped'))
  return logger
}

const PINO_NAMES = ['level', 'time', 'msg'] as const

/** Renames facts whose name is taken: strict parsers refuse duplicate members. */
function withoutClashes(fields: Readonly<Record<string, unknown>>, taken: readonly string[]) {
  let renamed: Record<string, unknown> | null = null
  for (const name of taken) {
    if (!Object.prototype.propertyIsEnumerable.call(fields, name)) continue
    renamed ??= { ...fields }
    renamed[`${name}Fact`] = fields[name]
    delete renamed[name]
  }
  return renamed ?? fields
}

/** Linux writes this much to a pipe atomically. */
const MAX_LINE_BYTES = 4096
const KEPT_NAMES = ['level', 'time', 'pid', 'worker', 'request_id', 'status', 'code', 'msg']
const MAX_KEPT_LENGTH = 256

function toShortLine(line: string): string {
  // A character has at most 3 bytes here, so most lines need no exact count.
  if (line.length * 3 < MAX_LINE_BYTES || Buffer.byteLength(line) < MAX_LINE_BYTES) return line
  const fields: unknown = JSON.parse(line)
  const kept: Record<string, unknown> = {}
  for (const name of KEPT_NAMES) {
    const value: unknown = Reflect.get(Object(fields), name)
    if (value === undefined) continue
    kept[name] = typeof value === 'string' ? value.slice(0, MAX_KEPT_LENGTH) : value
  }
  return `${JSON.stringify({ ...kept, cutBytes: Buffer.byteLength(line) })}\n`
}

export const STDOUT = 1
export const STDERR = 2

/** Descriptor of a worker's log. Not below 3: libuv makes descriptors 0 to 2 blocking when starting a process, and Node at its end. */
export const WORKER_LOG_FD = 4

/**
 * Opens an output anew, so that a write finds room or fails, and never waits for a stopped reader
 * (https://man7.org/linux/man-pages/man7/pipe.7.html). Files are left alone: their position is shared. A socket cannot
 * be opened again, so it changes for all its holders.
 */
export function openOutput(fd: typeof STDOUT | typeof STDERR): number {
  const stats = fstatSync(fd)
  if (stats.isFile()) return fd
  if (stats.isFIFO() || stats.isCharacterDevice()) {
    const { O_WRONLY, O_NONBLOCK, O_APPEND, O_NOCTTY } = constants
    try {
      return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY)
    } catch {
      // Another user's, without a reader, or not on Linux.
    }
  }
  makeNonBlocking(fd)
  return fd
}

/** Node offers this only for its own streams. */
function makeNonBlocking(fd: typeof STDOUT | typeof STDERR): NodeJS.WriteStream {
  return fd === STDOUT ? process.stdout : process.stderr
}

/** Part of a process's memory outside its heap (`memory-plan.ts`). */
const MAX_WAITING_BYTES = 256 * 1024
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 250

/**
 * Writes lines at once and never waits for a reader: up to `maxWaitingBytes` are kept, later lines are lost and
 * counted. So is a line that fails to be written: it must never fail a request.
 *
 * ```
 *   flowing ──no room──▶ waiting ──maxWaitingBytes──▶ losing
 *      ▲                    │                            │
 *      └────all written─────┴──all written, loss told────┘
 * ```
 */
export class LineWriter {
  readonly #fd: number
  readonly #maxWaitingBytes: number
  #state: 'flowing' | 'waiting' | 'losing' = 'flowing'
  #rest: Buffer = NOTHING
  /** Further lines, oldest first. Bounded by `maxWaitingBytes`. */
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #isMidLine = false
  #pauseMs = FIRST_PAUSE_MS
  #timer: NodeJS.Timeout | null = null
  #lost = 0
  #toldLost = 0
  #tellLoss: ((lines: number) => void) | null = null

  constructor(fd: number, maxWaitingBytes = MAX_WAITING_BYTES) {
    this.#fd = fd
    this.#maxWaitingBytes = maxWaitingBytes
  }

  get lost(): number {
    return this.#lost
  }

  /** `tell` gets the number of lines lost since its last call, once a line is written again. */
  onLoss(tell: (lines: number) => void): void {
    this.#tellLoss = tell
  }

  write(line: string): void {
    const bytes = Buffer.from(line)
    if (this.#state === 'flowing') {
      const outcome = this.#begin(bytes)
      if (outcome === 'busy') this.#wait()
      else if (outcome === 'written') this.#tell()
      return
    }
    const isRoom = this.#waitingBytes + bytes.byteLength <= this.#maxWaitingBytes
    if (this.#state === 'waiting' && isRoom) {
      this.#waiting.push(bytes)
      this.#waitingBytes += bytes.byteLength
    } else {
      this.#state = 'losing'
      this.#lost++
    }
  }

  /** Waits for the reader at the end of the process, at most `maxMs`. */
  flush(maxMs: number): void {
    for (let leftMs = maxMs; this.#state !== 'flowing' && leftMs > 0; leftMs -= FIRST_PAUSE_MS) {
      this.#resume()
      if (this.#rest.byteLength > 0) Atomics.wait(SLEEPER, 0, 0, FIRST_PAUSE_MS)
    }
  }

  #wait(): void {
    this.#state = 'waiting'
    this.#pauseMs = FIRST_PAUSE_MS
    this.#tryLater()
  }

  #tryLater(): void {
    this.#timer = setTimeout(() => {
      const hasMoved = this.#resume()
      this.#pauseMs = hasMoved ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2)
      if (this.#rest.byteLength > 0) this.#tryLater()
    }, this.#pauseMs)
    this.#timer.unref()
  }

  #resume(): boolean {
    let outcome = this.#put(this.#rest)
    let next = 0
    while (outcome !== 'busy' && next < this.#waiting.length) {
      const line = this.#waiting[next++] ?? NOTHING
      this.#waitingBytes -= line.byteLength
      outcome = this.#begin(line)
    }
    // A slice of a list is a copy.
    this.#waiting = this.#waiting.slice(next)
    if (outcome === 'busy') return next > 0
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#state = 'flowing'
    if (outcome === 'written') this.#tell()
    return true
  }

  #tell(): void {
    const lines = this.#lost - this.#toldLost
    if (lines === 0) return
    this.#toldLost = this.#lost
    this.#tellLoss?.(lines)
  }

  /** Ends a line that broke off, so that it does not swallow the next. */
  #begin(line: Buffer): Outcome {
    return this.#put(this.#isMidLine ? Buffer.concat([NEWLINE, line]) : line)
  }

  #put(bytes: Buffer): Outcome {
    this.#rest = bytes
    try {
      while (this.#rest.byteLength > 0) {
        const written = writeSync(this.#fd, this.#rest)
        this.#isMidLine = this.#rest[written - 1] !== NEWLINE[0]
        // A slice of one line, until it is written.
        this.#rest = this.#rest.subarray(written)
      }
      return 'written'
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') return 'busy'
      this.#rest = NOTHING
      this.#lost++
      return 'lost'
    }
  }
}

type Outcome = 'written' | 'busy' | 'lost'

const NOTHING = Buffer.alloc(0)
const NEWLINE = Buffer.from('\n')
const SLEEPER = new Int32Array(new SharedArrayBuffer(4))

/** Limits of one log line: a prompt logged by mistake is cut to 512 characters. */
const MAX_TEXT_LENGTH = 512
const MAX_STACK_LENGTH = 1200
const MAX_ITEMS = 20
const MAX_DEPTH = 5
const MAX_CAUSES = 3

const REDACTED = '[redacted]'

/** Names whose values are never logged; compared without case, `-` and `_`. */
const SECRET_NAMES = new Set([
  'accesstoken',
  'apikey',
  'apikeys',
  'authorization',
  'bearer',
  'clientsecret',
  'cookie',
  'idtoken',
  'password',
  'proxyapikey',
  'proxyauthorization',
  'kiroapikey',
  'refreshtoken',
  'secret',
  'setcookie',
  'token',
  'xapikey',
  'xamzsecuritytoken'
])

/** Secrets inside text: after "Bearer" (but not `<key>`, as messages have it), keys and tokens of the upstream and the SDKs, URL passwords. */
const SECRET_TEXT =
  /(\bbearer\s+)(?!<key>)[^\s"',;]+|\b(?:ksk_|kgw_|sk-|aoa|aor|eyJ)[\w~+/.=:-]{8,}|(?<=:\/\/)[^/\s@]+(?=@)/gi

/** Removes secrets at any depth, cuts long text and lists, flattens errors. Returns the fields themselves if all may stay. */
function toLogFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  // pino looks at inherited members, too.
  const isPlain = Object.getPrototypeOf(fields) === Object.prototype
  let loggable: Record<string, unknown> | null = isPlain ? null : { ...fields }
  for (const name of Object.keys(fields)) {
    const value = toLogField(name, fields[name], 1)
    if (value === fields[name]) continue
    loggable ??= { ...fields }
    loggable[name] = value
  }
  return loggable ?? fields
}

function toLoggable(fields: object, depth: number): Record<string, unknown> {
  const loggable: Record<string, unknown> = {}
  for (const name of Object.keys(fields).slice(0, MAX_ITEMS))
    loggable[name] = toLogField(name, Reflect.get(fields, name), depth)
  return loggable
}

/** Takes only known facts: errors of others carry whole requests with headers. */
function toErrorFields(error: Error, depth = 1, isStackDue = true): Record<string, unknown> {
  const message = messageOf(error)
  const facts: Record<string, unknown> = { type: error.name, msg: cleanText(message) }
  for (const name of ['code', 'errno', 'syscall', 'hostname', 'address', 'port'] as const) {
    const value: unknown = name in error ? Reflect.get(error, name) : undefined
    if (typeof value === 'string' || typeof value === 'number') facts[name] = value
  }
  if (error instanceof GatewayError && error.detail !== undefined) {
    facts['detail'] = cleanText(error.detail)
  }
  const isForBug = isWrapped(error)
  if (isStackDue && !isForBug && !isOfOthers(error)) {
    const stack = error.stack?.replace(error.message, () => message) ?? ''
    facts['stack'] = cleanText(stack, MAX_STACK_LENGTH)
  }
  if (error.cause instanceof Error && depth < MAX_CAUSES) {
    facts['cause'] = toErrorFields(error.cause, depth + 1, isStackDue && isForBug)
  }
  return facts
}

/** Returns whether a network, the system or the upstream has failed: the place in the program says nothing of that. */
function isOfOthers(error: Error): boolean {
  if (error instanceof GatewayError) return error.source !== 'internal'
  const code = codeOf(error)
  return 'syscall' in error || (code.startsWith('UND_ERR_') && !MISUSES.has(code))
}

/** Codes by which undici refuses how the program calls it. */
const MISUSES: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_INVALID_RETURN_VALUE',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH'
])

/** Returns whether it only wraps a mistake of the program, whose own stack tells the place. */
function isWrapped(error: Error): boolean {
  const { cause } = error
  return codeOf(error) === 'GW_INTERNAL' && cause instanceof Error && !isOfOthers(cause)
}

/** `Unexpected token 'x', ..."some text"... is not valid JSON`: a parser quotes its input. */
function messageOf({ name, message }: Error): string {
  return name === 'SyntaxError' ? message.replace(/".*"/s, '‹text›') : message
}

export function cleanText(text: string, maxLength = MAX_TEXT_LENGTH): string {
  // Cut first: the text may be megabytes. A secret cut in half is still recognised by its beginning.
  const cut = text.slice(0, maxLength)
  const clean = cut.replace(SECRET_TEXT, (_match, scheme: string | undefined) =>
    scheme === undefined ? REDACTED : `${scheme}${REDACTED}`
  )
  return text.length > maxLength ? `${clean}…` : clean
}

function toLogField(name: string, value: unknown, depth: number): unknown {
  if (typeof value === 'number' || typeof value === 'boolean') return value // a count or a fact, as in `{ token: true }`
  if (isTelling(value) && isSecretName(name)) return REDACTED
  if (typeof value === 'string') return cleanText(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'function' || typeof value === 'symbol') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return toErrorFields(value)
  if (value instanceof Date) return value
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  if (depth >= MAX_DEPTH) return '[deep]'
  if (Array.isArray(value)) {
    return value.slice(0, MAX_ITEMS).map((item: unknown) => toLogField('', item, depth + 1))
  }
  return toLoggable(value, depth + 1)
}

/** Cache, since lines have the same few names. Bounded by MAX_KNOWN_NAMES. */
const KnownNames = new Map<string, boolean>()
const MAX_KNOWN_NAMES = 512

function isSecretName(name: string): boolean {
  const known = KnownNames.get(name)
  if (known !== undefined) return known
  const isSecret = SECRET_NAMES.has(name.toLowerCase().replace(/[-_]/g, ''))
  if (KnownNames.size < MAX_KNOWN_NAMES && name.length <= MAX_TEXT_LENGTH)
    KnownNames.set(name, isSecret)
  return isSecret
}

/** Numbers and flags under a secret's name are facts, as in `{ token: true }`. */
function isTelling(value: unknown): boolean {
  return typeof value === 'string' || (typeof value === 'object' && value !== null)
}
