import { findIllFormed } from './find-ill-formed.ts'
import type { Borderline } from '../../kiro/borderline.ts'
import type { JsonObject } from '../../kiro/json-object.ts'
import { toPointer } from '../../kiro/json-pointer.ts'
import { RepairTable } from '../../kiro/repair-table.ts'
import { PlacedRepairs, type RepairPlace } from '../../kiro/repairs.ts'
import { isRuleId, RuleTable } from '../../kiro/rules.ts'
import { GatewayError } from '../../shared/errors.ts'
import { findAttachments, toBlock } from '../attachments.ts'
import { convertRequest } from '../convert-request.ts'
import { parseJsonBody } from '../json-body.ts'
import type { DialectName } from '../reply-plan.ts'
import type { RequestOptions } from '../request-options.ts'
import { detectDialect } from './detect-dialect.ts'
import type { Finding, LintReport, Severity } from './report.ts'
import { StandIns } from './stand-ins.ts'

/** Refusals that are looked for; each costs one more conversion. */
const MAX_REFUSALS = 20
/** The same for bodies whose conversion takes long. */
const MAX_REFUSALS_OF_LARGE = 4
const LARGE_BYTES = 1024 * 1024
/** Attachments that are told of. */
const MAX_ATTACHMENTS = 100
const LEFT_OUT = { kind: 'text', text: 'an attachment' } as const

export interface LintOptions {
  /** As asked for; without, the body's shape tells. */
  readonly dialect?: DialectName | undefined
  readonly request: RequestOptions
}

/**
 * Says of a request which rules of the upstream it breaks, where, and what becomes of that. Converts it as a real
 * request would be, again and again with something harmless in the place of what was refused, so that all
 * refusals come out and not only the first. Nothing is fetched.
 *
 * @throws {GatewayError} GW_BODY_TOO_LARGE for a request that takes more than `request.heapBytes`
 */
export function lintRequest(bytes: Uint8Array, { dialect, request }: LintOptions): LintReport {
  let body: JsonObject
  try {
    body = parseJsonBody(bytes, request.heapBytes)
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'GW_BODY_TOO_LARGE') throw error
    return toReport(dialect ?? 'unknown', [toRefusal(error)])
  }
  const spoken = dialect ?? detectDialect(body)
  const attachments = leaveOutAttachments(body)
  const maxRefusals = bytes.byteLength > LARGE_BYTES ? MAX_REFUSALS_OF_LARGE : MAX_REFUSALS
  const found = convertAll(body, { dialect: spoken, request, maxRefusals })
  return toReport(spoken, [...attachments, ...found])
}

interface Rounds {
  readonly dialect: DialectName
  readonly request: RequestOptions
  readonly maxRefusals: number
}

function convertAll(body: JsonObject, { dialect, request, maxRefusals }: Rounds): Finding[] {
  const refusals: Finding[] = []
  const standIns = new StandIns(body)
  for (;;) {
    const repairs = new PlacedRepairs()
    let borderline: readonly Borderline[] = []
    try {
      borderline = convertRequest(
        dialect,
        Buffer.from(JSON.stringify(body)),
        request,
        repairs
      ).borderline
    } catch (error) {
      const refusal = toRefusal(error)
      refusals.push(refusal)
      if (refusals.length < maxRefusals && standIns.replace(refusal.pointer)) continue
    }
    const rest = [...borderline.map(toBorderline), ...toRepairs(repairs.places, body)]
    return [...refusals, ...rest.filter(({ pointer }) => !standIns.covers(pointer))]
  }
}

/** What has to be fetched or read first is replaced by a note: whether that can be done, nobody knows before. */
function leaveOutAttachments(body: JsonObject): readonly Finding[] {
  const blocks = findAttachments(body)
  for (const block of blocks) block.replaceWith(toBlock(block, LEFT_OUT))
  return blocks.slice(0, MAX_ATTACHMENTS).map((block) => {
    const what = block.attachment.kind === 'url' ? 'What this URL leads to' : 'This PDF'
    const message = `${what} is read when the request is made; it was not looked at now.`
    return toFinding('content-text', 'borderline', { pointer: block.pointer, message })
  })
}

/** @throws whatever is no refusal: that is a bug. */
function toRefusal(error: unknown): Finding {
  if (!(error instanceof GatewayError)) throw error
  const rule = error.rule !== undefined && isRuleId(error.rule) ? error.rule : 'request-shape'
  const pointer = toPointer(error.param ?? '')
  return toFinding(rule, 'refused', { pointer, message: error.message })
}

function toBorderline({ rule, pointer, message }: Borderline): Finding {
  return toFinding(rule, 'borderline', { pointer, message })
}

function toRepairs(places: readonly RepairPlace[], body: JsonObject): readonly Finding[] {
  return places.flatMap(({ code, pointer }) => {
    const { rule, what: message } = RepairTable[code]
    // The payload was repaired as a whole, in its final text.
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
  const findings = SEVERITIES.flatMap((one) => found.filter(({ severity }) => severity === one))
  return { ok: !findings.some(({ severity }) => severity === 'refused'), dialect, findings }
}
