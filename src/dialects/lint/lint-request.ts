import { type RepairCode, RepairTable } from '../../kiro/rules/repair-table.ts'
import { type Borderline, PlacedRepairs } from '../../kiro/rules/repairs.ts'
import { isRuleId, type RuleId, RuleTable } from '../../kiro/rules/rules.ts'
import { GatewayError } from '../../shared/errors.ts'
import { type JsonObject, toPointer } from '../../shared/json.ts'
import { convertRequest, type DialectName, dialectOfBody } from '../dialect.ts'
import { parseJsonBody } from '../plan/json-body.ts'
import { findAttachments, toBlock } from '../request/attachments.ts'
import type { RequestOptions } from '../request/to-upstream.ts'
import { StandIns } from './stand-ins.ts'

/** Each refusal costs one more conversion. */
const MAX_REFUSALS = 20
const MAX_REFUSALS_OF_LARGE = 4
const LARGE_BYTES = 1024 * 1024
const MAX_ATTACHMENTS = 100
const LEFT_OUT = { kind: 'text', text: 'an attachment' } as const

export interface LintOptions {
  readonly dialect?: DialectName | undefined
  readonly request: RequestOptions
}

/**
 * Reports the rules of the upstream that a request breaks. Converts it again and again with something
 * harmless in place of what was refused, to find all refusals. Fetches nothing.
 * @throws {GatewayError} GW_BODY_TOO_LARGE if it takes more than `request.heapBytes`
 */
export function lintRequest(bytes: Uint8Array, { dialect, request }: LintOptions): LintReport {
  let body: JsonObject
  try {
    body = parseJsonBody(bytes, request.heapBytes)
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'GW_BODY_TOO_LARGE') throw error
    return toReport(dialect ?? 'unknown', [toRefusal(error)])
  }
  const spoken = dialect ?? dialectOfBody(body)
  const attachments = leaveOutAttachments(body, request)
  const maxRefusals = bytes.byteLength > LARGE_BYTES ? MAX_REFUSALS_OF_LARGE : MAX_REFUSALS
  const found = convertAll(body, maxRefusals, { dialect: spoken, request })
  return toReport(spoken, [...attachments, ...found])
}

function convertAll(
  body: JsonObject,
  maxRefusals: number,
  { dialect, request }: LintOptions & { readonly dialect: DialectName }
): Finding[] {
  const refusals: Finding[] = []
  const standIns = new StandIns(body)
  for (;;) {
    const repairs = new PlacedRepairs()
    let borderline: readonly Borderline[] = []
    // The client did not choose a model that stands in for another.
    const options = standIns.covers('/model') ? withoutAccess(request) : request
    try {
      borderline = convertRequest(
        dialect,
        Buffer.from(JSON.stringify(body)),
        options,
        repairs
      ).borderline
    } catch (error) {
      const refusal = toRefusal(error)
      refusals.push(refusal)
      if (refusals.length < maxRefusals && standIns.replace(refusal.pointer)) continue
    }
    const rest = [
      ...borderline.map((one) => toFinding(one.rule, 'borderline', one)),
      ...toRepairs(repairs.places, body)
    ]
    return [...refusals, ...rest.filter(({ pointer }) => !standIns.covers(pointer))]
  }
}

function withoutAccess({ access: _access, ...options }: RequestOptions): RequestOptions {
  return options
}

/** Puts notes in place of attachments: whether they can be fetched shows only in a real request. */
export function leaveOutAttachments(
  body: JsonObject,
  { sendsDocuments }: RequestOptions
): readonly Finding[] {
  const found = findAttachments(body, sendsDocuments)
  const blocks = found.filter(({ attachment }) => attachment.kind !== 'document')
  for (const block of blocks) block.replaceWith(toBlock(block, LEFT_OUT))
  return blocks.slice(0, MAX_ATTACHMENTS).map((block) => {
    const what = block.attachment.kind === 'url' ? 'The content of this URL' : 'This PDF'
    const message = `${what} is read only when the request is sent; it was not checked now.`
    return toFinding('content-text', 'borderline', { pointer: block.pointer, message })
  })
}

/** @throws errors that are not refusals: those are bugs. */
function toRefusal(error: unknown): Finding {
  if (!(error instanceof GatewayError)) throw error
  const rule = error.rule !== undefined && isRuleId(error.rule) ? error.rule : 'request-shape'
  const pointer = toPointer(error.param ?? '')
  return toFinding(rule, 'refused', { pointer, message: error.message })
}

function toRepairs(places: PlacedRepairs['places'], body: JsonObject): readonly Finding[] {
  return places.flatMap(({ code, pointer }) => {
    const { rule, what: message } = RepairTable[code]
    const pointers = code === 'surrogate-replaced' ? findIllFormed(body) : [pointer]
    return pointers.map((one) => ({
      ...toFinding(rule, 'repaired', { pointer: one, message }),
      code
    }))
  })
}

function toFinding(
  rule: Finding['rule'],
  severity: Severity,
  { pointer, message }: Pick<Finding, 'pointer' | 'message'>
): Finding {
  return { rule, severity, pointer, message, fix: RuleTable[rule].fix }
}

const SEVERITIES: readonly Severity[] = ['refused', 'borderline', 'repaired']

function toReport(dialect: string, found: readonly Finding[]): LintReport {
  const by = Object.groupBy(found, ({ severity }) => severity)
  const findings = SEVERITIES.flatMap((severity) => by[severity] ?? [])
  return { ok: by.refused === undefined, dialect, findings }
}

const MAX_PLACES = 100

function findIllFormed(body: unknown): readonly string[] {
  const found = new Set<string>()
  visit(body, [], found)
  return found.size === 0 ? [''] : [...found]
}

/** `names` is the path to the value; it is changed and restored. */
function visit(value: unknown, names: string[], found: Set<string>): void {
  if (found.size >= MAX_PLACES) return
  if (typeof value === 'string' && !value.isWellFormed()) found.add(toPointer('', names))
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    names.push(name)
    if (!name.isWellFormed()) found.add(toPointer('', names))
    visit(member, names, found)
    names.pop()
  }
}

/** `repaired` by the gateway, `refused` by it, or `borderline`: sent, but the upstream may refuse it. */
export type Severity = 'repaired' | 'refused' | 'borderline'

export interface Finding {
  readonly rule: RuleId
  readonly severity: Severity
  readonly pointer: string
  readonly message: string
  readonly fix: string
  readonly code?: RepairCode
}

/** Plain data: it crosses threads. */
export interface LintReport {
  readonly ok: boolean
  /** `unknown` if the body is not JSON. */
  readonly dialect: string
  readonly findings: readonly Finding[]
}

const COLUMN = 'borderline  '.length

/** Writes the report for people: two lines for each finding, then a summary. */
export function reportText({ dialect, findings }: LintReport): string {
  const by = Object.groupBy(findings, ({ severity }) => severity)
  const counts = SEVERITIES.map((severity) => `${by[severity]?.length ?? 0} ${severity}`)
  const sum = findings.length === 0 ? 'nothing to say' : counts.join(', ')
  return [...findings.map(findingText), `${dialect}: ${sum}\n`].join('')
}

function findingText({ severity, pointer, rule, message, fix }: Finding): string {
  const place = pointer === '' ? '(whole body)' : pointer
  const head = `${severity.padEnd(COLUMN)}${place}  ${rule}: ${message}`
  return `${printable(head)}\n${' '.repeat(COLUMN)}Fix: ${fix}\n`
}

/** Escapes control characters, which a terminal would obey. */
function printable(text: string): string {
  return text.toWellFormed().replaceAll(/\p{Cc}|\p{Cf}/gu, '\ufffd')
}
