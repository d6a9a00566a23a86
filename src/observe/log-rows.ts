import { isJsonObject } from '../shared/json.ts'
import { clockOf, type Fields, momentOf, numberOf, shortId, textOf } from './log-fields.ts'
import {
  type Explanation,
  explainRequest,
  markOfRequest,
  outcomeOf,
  requestRow,
  styleOfRequest
} from './request-row.ts'
import { type Row, type Span, type Style, widthOf, wrapSpans } from './terminal-rows.ts'

export interface RowOptions {
  readonly columns: number
  /** Shows every line and every fact. */
  readonly isVerbose: boolean
}

export interface ShownLine {
  readonly rows: readonly Row[]
  /** Rows of a line whose reason was shown before. */
  readonly again: readonly Row[]
  /** Rows below a count whose last line this is. */
  readonly last: readonly Row[]
  /** Kinds that the line belongs to, the narrowest first; empty for lines that are always shown. */
  readonly kinds: readonly LineKind[]
}

/** Lines of one kind say the same. */
export interface LineKind {
  readonly name: string
  /** Row that stands for all of them. */
  readonly title: Row
  /** Number of lines shown in a minute; the first has its explanation. */
  readonly shown: number
}

/** Returns the rows of a line of the log; `null` if people need not see it. */
export function rowsOf(fields: Fields, options: RowOptions): ShownLine | null {
  const message = String(fields['msg'])
  if (isRequest(fields)) return requestLine(fields, options)
  if (message === 'gateway ready') return always(readyRows(fields))
  if (options.isVerbose) return plainLine(fields, options)
  if (HIDDEN.some((beginning) => message.startsWith(beginning))) return null
  if (message === 'gateway starting') return always([startRow(fields)])
  if (message === 'settings that differ from the defaults') return settingsLine(fields, options)
  return plainLine(fields, options)
}

function always(rows: readonly Row[]): ShownLine {
  return { rows, again: rows, last: [], kinds: [] }
}

/** Beginnings of messages that say nothing is wrong, or what a request's own line says again. */
const HIDDEN = [
  'HTTP connection pool ',
  'NO CREDENTIALS ARE CONFIGURED', // the program says what to type
  'Upstream requests per minute',
  'credentials found',
  'credentials ready',
  'model list fetched',
  'named keys read',
  'profile found',
  'region of the API key found',
  'retrying upstream',
  'worker changed state'
]

/** A person who tries again sees that it failed again. */
const SHOWN_REQUESTS = 3
const CLOCK_COLUMNS = 9
const INDENT = CLOCK_COLUMNS + 2

function isRequest({ event, status, msg }: Fields): boolean {
  return (
    event === 'request.completed' ||
    (numberOf(status) !== null && /^request (refused|failed)$/.test(String(msg)))
  )
}

function requestLine(fields: Fields, options: RowOptions): ShownLine {
  const style = styleOfRequest(fields)
  const head = headOf(fields, { mark: markOfRequest(fields), style })
  const row = [...head, ...requestRow(fields, options.columns - widthOf(head))]
  const explained = explainRequest(fields)
  const rows: Row[] = [row]
  if (explained !== null) rows.push(...explanationRows(explained, options, MAX_REASON_ROWS))
  rows.push(...stackRows(fields))
  if (options.isVerbose) rows.push(...below(factSpans(fields), { ...options, maxRows: 20 }))
  const code = textOf(fields['code'])
  if (code === '' || explained === null) return always(rows)
  const status = outcomeOf(fields)
  const title = [...head, { text: `${status} `, style }, { text: code }]
  const kind = { name: `${status} ${code}`, title, shown: SHOWN_REQUESTS }
  const key = isOwnMistake(fields) ? textOf(fields['key']) : ''
  const narrow = {
    ...kind,
    name: [kind.name, key, withoutFigures(textOf(fields['reason']))].join(' '),
    title: key === '' ? title : [...title, { text: ` ${key}`, style: 'bold' as const }]
  }
  const { reason, facts } = explained
  const again = [row, ...explanationRows({ reason: { text: '' }, facts }, options, 1)]
  const newest = { ...facts, text: `last: ${shortId(fields['request_id'])}` }
  const last = explanationRows({ reason, facts: newest }, options, MAX_COUNTED_REASON_ROWS)
  return { rows, again, last, kinds: [narrow, kind] }
}

/** A key's mistakes must not hide those of another; a failure of the upstream is one for all. */
function isOwnMistake({ status }: Fields): boolean {
  return (numberOf(status) ?? 0) < 500
}

function withoutFigures(text: string): string {
  return text.replaceAll(/\d+/g, '0')
}

const MAX_REASON_ROWS = 6
const MAX_COUNTED_REASON_ROWS = 2

/** Code and id are always whole: by them the request is found. */
function explanationRows(
  { reason, facts }: Explanation,
  options: RowOptions,
  maxRows: number
): readonly Row[] {
  const rows = below([reason], { ...options, maxRows })
  const last = rows.at(-1) ?? []
  const joined = [...last, { text: ' ' }, facts]
  if (reason.text !== '' && widthOf(joined) <= options.columns)
    return [...rows.slice(0, -1), joined]
  const more = below([facts], { ...options, maxRows: MAX_REASON_ROWS })
  return reason.text === '' ? more : [...rows, ...more]
}

interface Mark {
  readonly mark: string
  readonly style: Style
}

function headOf(fields: Fields, { mark, style }: Mark): Row {
  return [
    { text: clockOf(fields['time']), style: 'dim' },
    { text: ' ' },
    { text: mark, style },
    { text: ' ' }
  ]
}

const MARKS: Readonly<Record<string, Mark>> = {
  fatal: { mark: '✗', style: 'magenta' },
  error: { mark: '✗', style: 'red' },
  warn: { mark: '!', style: 'yellow' },
  info: { mark: '·', style: 'green' }
}
const USUAL_MARK: Mark = { mark: '·', style: 'dim' }

function plainLine(fields: Fields, options: RowOptions): ShownLine {
  const level = String(fields['level'])
  const head = headOf(fields, MARKS[level] ?? USUAL_MARK)
  const facts = factSpans(options.isVerbose ? fields : forPeople(fields))
  const isExplained = facts[0] !== undefined && facts[0].style !== 'dim'
  const text = textOf(fields['msg'])
  const message: Span = {
    text: isExplained ? `${text}:` : text,
    style: level === 'error' || level === 'fatal' ? 'red' : 'bold'
  }
  const rows = [
    ...wrapSpans([message, ...facts], {
      head,
      indent: INDENT,
      columns: options.columns,
      maxRows: 8
    }),
    ...stackRows(fields)
  ]
  const code = textOf(fields['code'])
  if (level !== 'warn' || code === '') return always(rows)
  const title = [...head, { ...message, text: `${text} ` }, { text: code }]
  const last = facts.length === 0 ? [] : below(facts, { ...options, maxRows: 2 })
  return { rows, again: rows, last, kinds: [{ name: `${text} ${code}`, title, shown: 1 }] }
}

function below(
  spans: readonly Span[],
  { columns, maxRows }: RowOptions & { readonly maxRows: number }
): readonly Row[] {
  const head = [{ text: ' '.repeat(INDENT) }]
  return wrapSpans(spans, { head, indent: INDENT, columns, maxRows })
}

/** Names of facts for programs: what tells lines apart, and a key before and after a change. */
const FOR_PROGRAMS: ReadonlySet<string> = new Set([
  'account_hash',
  'client_key_hash',
  'keyHash',
  'trace_id',
  'upstream_request_id',
  'workerPid',
  'before',
  'after'
])

function forPeople(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !FOR_PROGRAMS.has(name)))
}

/** Members that have a place of their own, or none. */
const PLACED: ReadonlySet<string> = new Set(['time', 'level', 'msg', 'pid', 'worker', 'event'])
/** Members whose text needs no name; they stand first. */
const SENTENCES: readonly string[] = ['warning', 'reason', 'problem', 'detail']

function factSpans(fields: Fields): readonly Span[] {
  const facts = Object.entries(fields).filter(
    ([name]) => !PLACED.has(name) && !SENTENCES.includes(name) && name !== 'err'
  )
  const named = facts.flatMap(([name, value]) => {
    const text = factText(name, value, fields['time'])
    return text === '' ? [] : [{ text: `${textOf(name)}=${text}`, style: 'dim' as const }]
  })
  const sentences = SENTENCES.flatMap((name) => {
    const text = textOf(fields[name])
    return text === '' ? [] : [{ text }]
  })
  return [...sentences, ...errorSpans(fields['err']), ...named]
}

function factText(name: string, value: unknown, time: unknown): string {
  if (name === 'request_id') return shortId(value)
  if (typeof value === 'number') return String(Math.round(value * 1000) / 1000)
  if (typeof value === 'string' && ISO_TIME.test(value)) return momentOf(value, time)
  if (Array.isArray(value)) return value.map(textOf).join(', ')
  return textOf(value)
}

const ISO_TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/

function errorSpans(err: unknown): readonly Span[] {
  if (!isJsonObject(err)) return []
  const { msg, type, code } = err
  const text = textOf(msg) === '' ? textOf(type) : textOf(msg)
  const isTold = code === undefined || text.includes(textOf(code))
  return [{ text: isTold ? text : `${text} (${textOf(code)})`, style: 'red' }]
}

const MAX_STACK_ROWS = 12
/** Beginning of a path, which rows of a program deep in a tree have no room for; the JSON log has all of it. */
const DEEP_PATH = /(?:file:\/\/)?\/\S*(?=(?:\/[^/\s]+){3}:\d)/

/** Shows where a bug is. Failures of networks and systems have a code, and no place in the program. */
function stackRows({ level, err }: Fields): readonly Row[] {
  if (level !== 'error' && level !== 'fatal') return []
  if (!isJsonObject(err) || typeof err['code'] === 'string' || typeof err['stack'] !== 'string')
    return []
  return err['stack']
    .split('\n')
    .filter((row) => row.trimStart().startsWith('at '))
    .slice(0, MAX_STACK_ROWS)
    .map((row) => [
      { text: `${' '.repeat(INDENT)}${textOf(row.trim().replace(DEEP_PATH, '…'))}`, style: 'dim' }
    ])
}

function startRow(fields: Fields): Row {
  const shares = isJsonObject(fields['shares']) ? fields['shares'] : {}
  const workers = numberOf(shares['workers'])
  const facts = [
    `Node ${textOf(fields['node'])}`,
    workers === 1 ? '1 worker' : `${workers} workers`,
    `${textOf(shares['memory'])} of memory`
  ]
  return [
    ...headOf(fields, USUAL_MARK),
    { text: `kiro-gateway ${textOf(fields['version'])}`, style: 'bold' },
    { text: ` · ${facts.join(' · ')}` }
  ]
}

function settingsLine(fields: Fields, options: RowOptions): ShownLine {
  const settings = isJsonObject(fields['settings']) ? fields['settings'] : {}
  const pairs = Object.entries(settings).map(([name, value]) => ({
    text: `${textOf(name)}=${textOf(value)}`
  }))
  return always(below(pairs, { ...options, maxRows: 2 }))
}

/** Rows with the addresses to open on this machine, also if the gateway listens on all interfaces. */
function readyRows(fields: Fields): readonly Row[] {
  const open = isJsonObject(fields['open']) ? fields['open'] : {}
  const here = textOf(open['base URL, Anthropic'])
  const url = textOf(fields['url'])
  const what = open['dashboard'] === undefined ? 'API at /docs' : 'dashboard; API at /docs'
  return [
    [
      ...headOf(fields, { mark: '✓', style: 'green' }),
      { text: `ready at ${here}`, style: 'bold' },
      { text: ` (${what})${url === here ? '' : `, listening on ${url}`}` }
    ],
    addressRow('OpenAI base URL', textOf(open['base URL, OpenAI'])),
    addressRow('Anthropic base URL', here)
  ]
}

function addressRow(name: string, address: string): Row {
  return [{ text: `${' '.repeat(INDENT)}${name.padEnd(19)}`, style: 'dim' }, { text: address }]
}
