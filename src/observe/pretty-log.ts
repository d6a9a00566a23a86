import type { LogStream } from './logger.ts'

/**
 * Formats log lines for people; loaded on demand. JSON lines go one by one to the stream below.
 *
 * ```
 *   14:41:11.123 INFO  2        request completed  POST /v1/messages 200 claude-sonnet-4.6 in 1.24 s, first byte 0.80 s …
 * ```
 */
export class PrettyLog implements LogStream {
  readonly #stream: LogStream
  readonly #paint: Paint

  constructor(stream: LogStream, isColoured: boolean) {
    this.#stream = stream
    this.#paint = isColoured ? coloured : plain
  }

  get lost(): number {
    return this.#stream.lost ?? 0
  }

  onLoss(tell: (lines: number) => void): void {
    this.#stream.onLoss?.(tell)
  }

  write(line: string): void {
    this.#stream.write(toPretty(line, this.#paint))
  }
}

type Style = 'dim' | 'bold' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan'
type Paint = (text: string, style: Style) => string

const CODES: Readonly<Record<Style, number>> = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36
}

const plain: Paint = (text) => text
const RESET = '\u001b[0m'
const coloured: Paint = (text, style) => `\u001b[${CODES[style]}m${text}${RESET}`

const LEVELS: Readonly<Record<string, Style>> = {
  fatal: 'magenta',
  error: 'red',
  warn: 'yellow',
  info: 'green',
  debug: 'blue',
  trace: 'dim'
}

/** As for other lines: processes must not mix their lines. */
const MAX_BYTES = 4096

type Fields = Readonly<Record<string, unknown>>

function toPretty(line: string, paint: Paint): string {
  const fields = parsed(line)
  if (fields === null) return line
  const { time, level, msg, worker, pid: _pid, err, ...rest } = fields
  const name = String(level)
  const head = [
    paint(clockOf(time), 'dim'),
    paint(name.toUpperCase().padEnd(5), LEVELS[name] ?? 'bold'),
    paint(shown(worker ?? '').padEnd(7), 'dim'),
    paint(shown(msg), name === 'error' || name === 'fatal' ? 'red' : 'bold')
  ].join(' ')
  const body =
    rest['event'] === 'request.completed' ? ofRequest(rest, paint) : ofFields(rest, paint)
  return within(`${head}${body}${ofError(err, paint)}\n`)
}

function parsed(line: string): Fields | null {
  try {
    const fields: unknown = JSON.parse(line)
    return typeof fields === 'object' && fields !== null ? { ...fields } : null
  } catch {
    return null
  }
}

function clockOf(time: unknown): string {
  const at = new Date(String(time))
  if (Number.isNaN(at.getTime())) return ''.padEnd(12)
  const [hours, minutes, seconds] = [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits)
  return `${hours}:${minutes}:${seconds}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}

function ofRequest(fields: Fields, paint: Paint): string {
  const { event: _event, method, route, status, model_requested: model, phase_ms: phases } = fields
  const {
    input_tokens: input,
    output_tokens: output,
    ...others
  } = omit(fields, ['event', 'method', 'route', 'status', 'model_requested', 'phase_ms'])
  const code = Number(status)
  const style: Style = code < 400 ? 'green' : code < 500 ? 'yellow' : 'red'
  const ms: Fields = typeof phases === 'object' && phases !== null ? { ...phases } : {}
  const total = Number(ms['total'] ?? 0)
  const told = [
    `${shown(method)} ${shown(route)}`,
    paint(shown(status), style),
    ...(model === undefined ? [] : [paint(shown(model), 'cyan')]),
    `in ${secondsOf(total)}${ms['ttfb'] === undefined ? '' : `, first byte ${secondsOf(total - Number(ms['stream'] ?? 0))}`}`,
    ...(input === undefined ? [] : [`${shown(input)}→${shown(output)} tokens`])
  ]
  return `  ${told.join(' ')}${ofFields(others, paint)}`
}

function secondsOf(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function omit(fields: Fields, names: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)))
}

function ofFields(fields: Fields, paint: Paint): string {
  let inLine = ''
  let below = ''
  for (const [name, value] of Object.entries(fields)) {
    if (isTable(value)) {
      below += `\n      ${paint(shown(name), 'dim')}`
      for (const [key, one] of Object.entries(value))
        below += `\n        ${paint(shown(key).padEnd(32), 'dim')} ${shown(one)}`
    } else inLine += ` ${paint(`${shown(name)}=`, 'dim')}${shown(value)}`
  }
  return (inLine === '' ? '' : ` ${inLine}`) + below
}

const TABLES: ReadonlySet<number> = new Set([0, 1])

function isTable(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return !TABLES.has(Object.keys(value).length)
}

function ofError(err: unknown, paint: Paint): string {
  if (typeof err !== 'object' || err === null) return ''
  const { stack, ...facts }: Fields = { ...err }
  const lines =
    typeof stack === 'string' ? stack.split('\n').map((one) => `\n      ${shown(one)}`) : []
  return `\n      ${paint(shown(facts), 'red')}${paint(lines.join(''), 'dim')}`
}

/** Escapes control characters, since clients choose some values. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** Control characters of terminals, and those that change the direction of writing. */
const UNSAFE = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

function within(text: string): string {
  if (Buffer.byteLength(text) <= MAX_BYTES) return text
  const cut = Buffer.from(text)
    .subarray(0, MAX_BYTES - 16)
    .toString()
  return `${cut.slice(0, cut.lastIndexOf(' '))} …${text.includes(RESET) ? RESET : ''}\n`
}
