import { isJsonObject } from '../shared/json.ts'
import { type Fields, numberOf, shortId, textOf } from './log-fields.ts'
import { columnsOf, type Row, shortened, type Span, type Style, widthOf } from './terminal-rows.ts'

/**
 * Formats a request's facts behind its time and mark. Columns stay aligned from line to line; a narrow terminal loses
 * the time of the first byte and the units. A long name of a model is cut, so that the key is seen.
 *
 * ```
 *   200 claude-sonnet-5.5   0.51 s (first 0.06)       6→34 tok  0.005 cr anna · claude-code
 * ```
 */
export function requestRow(fields: Fields, columns: number): Row {
  const isWide = columns >= WIDE_COLUMNS
  const model = modelOf(fields)
  const who = whoOf(fields)
  const aligned = [...inColumns(cellsOf(fields, model, isWide)), ...who]
  if (widthOf(aligned) <= columns) return aligned
  const tight = (name: string, hasAll = false): Row => [
    ...cellsOf(fields, name, hasAll).flatMap(unpadded),
    ...who
  ]
  if (isWide && widthOf(tight(model, true)) <= columns) return tight(model, true)
  const tooMany = Math.max(0, widthOf(tight(model)) - columns)
  return tight(shortened(model, Math.max(MODEL_CHARS, columnsOf(model) - tooMany)))
}

function cellsOf(fields: Fields, model: string, isWide: boolean): readonly Cell[] {
  return [
    { text: outcomeOf(fields), width: 3, style: styleOfRequest(fields) },
    { text: model, width: MODEL_CHARS, style: 'cyan' },
    { text: timeOf(fields), width: -7 },
    ...(isWide ? [{ text: firstOf(fields), width: 12, style: 'dim' as const }] : []),
    { text: tokensOf(fields, isWide), width: isWide ? -13 : -9 },
    { text: creditsOf(fields), width: -8 }
  ]
}

/** From here on there is room for the time of the first byte, and for units. */
const WIDE_COLUMNS = 88
const MODEL_CHARS = 17

interface Cell extends Span {
  /** Columns; negative ones align to the right. */
  readonly width: number
}

/** A text that is too long for its column takes the room that later cells leave, as a route does where there is no model. */
function inColumns(cells: readonly Cell[]): Row {
  let excess = 0
  return cells.flatMap(({ text, width, style }) => {
    const room = Math.abs(width) - columnsOf(text)
    const space = ' '.repeat(Math.max(0, room - excess))
    excess = Math.max(0, excess - room)
    return [{ text: width < 0 ? space + text : text + space, style }, { text: ' ' }]
  })
}

function unpadded({ text, style }: Cell): Row {
  return text === '' ? [] : [{ text, style }, { text: ' ' }]
}

/** The status, or `cut` for an answer that broke after its status was sent: that says nothing of the end. */
export function outcomeOf(fields: Fields): string {
  const status = numberOf(fields['status'])
  return isCut(fields) ? 'cut' : String(status ?? '')
}

function isCut({ status, code }: Fields): boolean {
  return textOf(code) !== '' && (numberOf(status) ?? ERRORS_FROM) < ERRORS_FROM
}

const ERRORS_FROM = 400

/** Green: answered. Yellow: the client's mistake, or something was lost. Red: the upstream's or our failure. */
export function styleOfRequest(fields: Fields): Style {
  if (fields['status'] === CLIENT_LEFT) return 'dim'
  if (fields['msg'] === 'request completed') return 'green'
  const { level } = fields
  const isMild = level === 'info' || fields['msg'] === 'tool call lost'
  return isMild ? 'yellow' : 'red'
}

const CLIENT_LEFT = 499

export function markOfRequest(fields: Fields): string {
  const style = styleOfRequest(fields)
  if (style === 'green') return '✓'
  if (style === 'dim') return '–'
  return style === 'yellow' ? '!' : '✗'
}

/** Requests without a model are named by their route. */
function modelOf(fields: Fields): string {
  const requested = textOf(fields['model_requested'])
  const { repairs } = fields
  const isOther = Array.isArray(repairs) && repairs.includes('model-substituted')
  if (isOther) return `${textOf(fields['model_upstream'])} (asked ${requested})`
  const place = `${textOf(fields['method'])} ${textOf(fields['route'] ?? fields['path'])}`
  return requested === '' ? place.trim() : requested
}

/** Empty if the request was refused before it was read. */
function timeOf(fields: Fields): string {
  const ms = phaseOf(fields, 'total')
  return ms === null ? '' : `${secondsOf(ms)} s`
}

function firstOf(fields: Fields): string {
  const total = phaseOf(fields, 'total')
  if (total === null || fields['input_tokens'] === undefined) return ''
  return `(first ${secondsOf(total - (phaseOf(fields, 'stream') ?? 0))})`
}

function phaseOf({ phase_ms: phases }: Fields, name: string): number | null {
  return isJsonObject(phases) ? numberOf(phases[name]) : null
}

/** Three digits are enough to compare two requests. */
function secondsOf(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 9.995) return seconds.toFixed(2)
  return seconds < 99.95 ? seconds.toFixed(1) : seconds.toFixed(0)
}

function tokensOf(fields: Fields, hasUnit: boolean): string {
  const input = numberOf(fields['input_tokens'])
  if (input === null) return ''
  const output = numberOf(fields['output_tokens']) ?? 0
  return `${countOf(input)}→${countOf(output)}${hasUnit ? ' tok' : ''}`
}

function countOf(tokens: number): string {
  if (tokens < 10_000) return String(tokens)
  return tokens < 999_500 ? `${Math.round(tokens / 1000)}k` : `${(tokens / 1e6).toFixed(1)}M`
}

function creditsOf(fields: Fields): string {
  const credits = numberOf(fields['credits'])
  if (credits === null) return ''
  return `${credits < 9.9995 ? credits.toFixed(3) : credits.toFixed(1)} cr`
}

function whoOf(fields: Fields): readonly Span[] {
  const key = textOf(fields['key'])
  const client = fields['client'] === UNKNOWN_CLIENT ? '' : textOf(fields['client'])
  return [
    { text: key, style: 'bold' },
    { text: key === '' || client === '' ? client : ` · ${client}`, style: 'dim' }
  ]
}

const UNKNOWN_CLIENT = 'other'

export interface Explanation {
  /** Sentences that say what happened and what to do. */
  readonly reason: Span
  /** Code, number of tries and the beginning of the id. */
  readonly facts: Span
}

/** `null` if nothing went wrong. */
export function explainRequest(fields: Fields): Explanation | null {
  const lost = numberOf(fields['lost_calls']) ?? 0
  const code = textOf(fields['code'])
  if (code === '' && lost === 0) return null
  const reason = code === '' ? lostText(lost) : textOf(fields['reason'])
  const tries = numberOf(fields['attempt']) ?? 0
  const sent = isCut(fields) ? `cut after status ${textOf(fields['status'])}` : ''
  const facts = [code, sent, tries > 1 ? `${tries} tries` : '', shortId(fields['request_id'])]
  const shown = facts.filter((fact) => fact !== '').join(' · ')
  return { reason: { text: reason }, facts: { text: shown, style: 'dim' } }
}

function lostText(calls: number): string {
  const what = calls === 1 ? 'A tool call was cut' : `${calls} tool calls were cut`
  const whose = calls === 1 ? 'its' : 'their'
  return `${what}: ${whose} arguments did not arrive whole. Let the model try again in smaller steps.`
}
