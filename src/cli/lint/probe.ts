import { inspectConfig } from '../../config/load.ts'
import { convertRequest, type DialectName, dialectOfBody } from '../../dialects/dialect.ts'
import {
  leaveOutAttachments,
  type LintReport,
  lintRequest,
  reportText
} from '../../dialects/lint/lint-request.ts'
import { parseJsonBody } from '../../dialects/plan/json-body.ts'
import type { RequestOptions } from '../../dialects/request/to-upstream.ts'
import { BUILT_IN_CATALOGUE, CREDITS_PER_TOKEN, listedCredits } from '../../kiro/models/models.ts'
import { isUnexplained } from '../../kiro/wire/fault.ts'
import type { RequestForm } from '../../kiro/wire/hosts.ts'
import { requestOptionsOf } from '../../server/turn/body.ts'
import { codeOf, GatewayError } from '../../shared/errors.ts'
import type { JsonObject } from '../../shared/json.ts'
import { type CommandCall, EXIT_FAILED, EXIT_OK, textOption, UsageError } from '../command.ts'
import { Checkup } from '../doctor/checks/checkup.ts'
import { listModelsOf } from '../doctor/checks/known-models.ts'
import { secretsOfSignIn } from '../doctor/checks/known-sign-in.ts'
import { snapshotFor, STOPS } from '../doctor/probe/ask-probes.ts'
import { Asker, isAnswered, type Outcome, PAUSE_MS, ProbesStopped } from '../doctor/probe/asker.ts'
import { cleaner, secretsOfSettings } from '../doctor/report.ts'
import { ProbeMemory } from './probe-memory.ts'
import { type ProbeFacts, linesOfProbe, toProbeReport } from './probe-report.ts'
import {
  type Candidate,
  RefusalSearch,
  RequestsSpent,
  type RefusalSearchResult,
  type CandidateVerdict
} from './refusal-search.ts'

export const DEFAULT_REQUESTS = 12
const MIN_REQUESTS = 3
const MAX_REQUESTS = 200
/** An answer is left when it begins; this much of it may be charged all the same. */
const CHARGED_ANSWER_TOKENS = 500
/** Cost of an answer's token in tokens of a request, and of new text in that of a known one (kiro-protocol §7.5). */
const ANSWER_FACTOR = 6.66
const UNCACHED_FACTOR = 1.94

export interface ProbeRequest {
  readonly bytes: Uint8Array
  readonly dialect: DialectName | undefined
}

/**
 * Asks the upstream about parts of a request, until it is known which of them it refuses.
 * @throws {UsageError} without consent; {GatewayError} for settings or a sign-in that cannot be used
 */
export async function probeRequest(call: CommandCall, request: ProbeRequest): Promise<number> {
  const limit = requestLimit(call)
  if (call.values['yes'] !== true && (!call.terminal.isInteractive || call.isJson)) {
    throw new UsageError('--probe costs credits; confirm with --yes')
  }
  const { env, signal } = call
  await using checkup = new Checkup({ ...inspectConfig(env), env, signal })
  return await new Probe(call, checkup, limit).run(request)
}

function requestLimit(call: CommandCall): number {
  const text = textOption(call, 'requests')
  if (text === null) return DEFAULT_REQUESTS
  const count = Number(text)
  if (Number.isInteger(count) && count >= MIN_REQUESTS && count <= MAX_REQUESTS) return count
  throw new UsageError(`--requests needs a whole number from ${MIN_REQUESTS} to ${MAX_REQUESTS}`)
}

class Probe {
  readonly #call: CommandCall
  readonly #checkup: Checkup
  readonly #limit: number
  #sent = 0
  #said: string | null = null
  /** Answers are there after an interruption. */
  #isKept = true

  constructor(call: CommandCall, checkup: Checkup, limit: number) {
    this.#call = call
    this.#checkup = checkup
    this.#limit = limit
  }

  async run({ bytes, dialect: given }: ProbeRequest): Promise<number> {
    const { terminal, signal, values } = this.#call
    const { config } = this.#checkup
    const snapshot = await snapshotFor(this.#checkup)
    if (snapshot instanceof GatewayError) throw snapshot
    const known = await listModelsOf(snapshot, this.#checkup)
    const models = known.name === 'listed' ? known.models : BUILT_IN_CATALOGUE.models
    const catalogue = { models, isLive: known.name === 'listed' }
    const options = requestOptionsOf({ current: { config }, models: { catalogue } }, null)
    const report = lintRequest(bytes, { dialect: given, request: options })
    if (!report.ok) return this.#tellRefused(report)
    const { body, dialect } = this.#read(bytes, given, options)
    const form = config.upstream.requestForm === 'target' ? 'target' : 'path'
    const credits = costOf(body, dialect, options)
    const memory = await ProbeMemory.open(config.credentials.stateDir, [bytes, snapshot.id])
    if (values['again'] === true) await this.#keep(memory.forget())
    if (!(await this.#isAllowed(credits, memory.size))) return EXIT_OK
    const asker = new Asker({
      network: this.#checkup.network,
      config,
      snapshot,
      models,
      signal,
      onAsk: (label) => terminal.progress(`Asking: ${label} …`)
    })
    const facts = { dialect, credits: credits * this.#limit, limit: this.#limit }
    try {
      let result = await this.#search({ body, dialect, options, form, asker, memory })
      if (result.end === 'greeting-refused' && config.upstream.requestForm === 'auto') {
        result = await this.#search({ body, dialect, options, form: 'target', asker, memory })
      }
      return this.#tell(body, { ...facts, end: result.end, result })
    } catch (cause) {
      if (cause instanceof ProbesStopped) {
        const { code = 'GW_INTERNAL', message = '' } = cause.outcome.fault ?? {}
        const { means, change } = STOPS[code] ?? { means: message, change: null }
        return this.#tell(body, { ...facts, end: 'stopped', advice: { means, change } })
      }
      if (cause instanceof UpstreamUnwell) return this.#tell(body, { ...facts, end: 'unwell' })
      if (signal.aborted && this.#isKept) terminal.note(INTERRUPTED)
      throw cause
    }
  }

  /** Images and PDFs behind URLs are not fetched: notes stand in their places. */
  #read(bytes: Uint8Array, given: DialectName | undefined, options: RequestOptions) {
    const body = parseJsonBody(bytes)
    const leftOut = leaveOutAttachments(body, options)
    for (const { pointer } of leftOut) {
      this.#call.terminal.note(`${pointer} is read only by a gateway. It is probed without it.`)
    }
    return { body, dialect: given ?? dialectOfBody(body) }
  }

  async #isAllowed(credits: number, known: number): Promise<boolean> {
    const { terminal, values } = this.#call
    if (known > 0) terminal.note(`${known} answers are known from an earlier run.`)
    const seconds = Math.ceil((this.#limit * PAUSE_MS) / 1000)
    const most = (credits * this.#limit).toFixed(2)
    const plan = `Up to ${this.#limit} requests will be sent for this account, over about ${seconds} s, at a cost of at most about ${most} credits. Requests that are refused cost nothing.`
    if (values['yes'] !== true) return terminal.confirm(`${plan} Continue?`)
    terminal.note(plan)
    return true
  }

  #search({
    body,
    dialect,
    options,
    form,
    asker,
    memory
  }: SearchParts): Promise<RefusalSearchResult> {
    let greeting: Candidate | null = null
    return new RefusalSearch({
      body,
      convert: (part) => payloadOf(part, dialect, { ...options, form }),
      ask: async (candidate) => {
        const known = memory.get(candidate.id)
        greeting ??= candidate // the search begins with it
        // What refused even a greeting may be over.
        const isOver = candidate === greeting && known !== 'taken'
        if (known !== undefined && !isOver) return known
        // An outage since the last run must not be taken for a refusal.
        if (this.#sent === 0 && greeting !== candidate) await this.#ask(greeting, asker, memory)
        return this.#ask(candidate, asker, memory)
      }
    }).run()
  }

  async #ask(candidate: Candidate, asker: Asker, memory: ProbeMemory): Promise<CandidateVerdict> {
    const verdict = (await this.#send(candidate, asker)) ?? (await this.#send(candidate, asker))
    if (verdict === null) throw new UpstreamUnwell()
    await this.#keep(memory.add(candidate.id, verdict))
    return verdict
  }

  /** Says once that the state folder takes nothing: what was paid for is still told. */
  async #keep(written: Promise<void>): Promise<void> {
    try {
      await written
    } catch (cause) {
      if (this.#isKept) this.#call.terminal.note(`${UNKEPT} (${codeOf(cause)})`)
      this.#isKept = false
    }
  }

  /** `null` for a failure that says nothing of the request. @throws {RequestsSpent} {ProbesStopped} */
  async #send({ payload, label }: Candidate, asker: Asker): Promise<CandidateVerdict | null> {
    if (this.#sent >= this.#limit) throw new RequestsSpent()
    this.#sent++
    const step = `Request ${this.#sent} of ${this.#limit}: ${label}, ${sizeOf(payload)}`
    const outcome = await asker.isTaken(step, payload)
    const verdict = verdictOf(outcome)
    if (verdict !== 'taken') this.#said = outcome.fault?.message ?? null
    const told = verdict ?? `failed (${outcome.fault?.message ?? `status ${outcome.status}`})`
    const why = verdict === 'other' ? `refused for another reason: ${this.#said}` : told
    this.#call.terminal.note(`${step}: ${why}`)
    return verdict
  }

  #tell(body: JsonObject, facts: Omit<ProbeFacts, 'sent' | 'said'>): number {
    const { terminal, isJson, env } = this.#call
    const secrets = [...secretsOfSettings(env), ...secretsOfSignIn(this.#checkup.knownSignIn)]
    const clean = cleaner(secrets)
    const whole = { ...facts, sent: this.#sent, said: this.#said }
    const report = toProbeReport(body, whole, clean)
    if (isJson) terminal.write(JSON.stringify(report, null, 2))
    else for (const line of linesOfProbe(report)) terminal.write(line)
    return report.end === 'taken' ? EXIT_OK : EXIT_FAILED
  }

  #tellRefused(report: LintReport): number {
    const { terminal, isJson } = this.#call
    terminal.write(isJson ? JSON.stringify(report, null, 2) : reportText(report).trimEnd())
    terminal.note('The gateway itself refuses this request. Nothing was sent.')
    return EXIT_FAILED
  }
}

const INTERRUPTED =
  'Interrupted. What the upstream has answered is kept: the same command goes on from there.'

const UNKEPT = 'The answers cannot be kept in STATE_DIR, so an interrupted run would begin anew.'

/** The upstream fails twice in a way that says nothing of the request. */
class UpstreamUnwell extends Error {}

interface SearchParts {
  readonly body: JsonObject
  readonly dialect: DialectName
  readonly options: RequestOptions
  readonly form: RequestForm
  readonly asker: Asker
  readonly memory: ProbeMemory
}

function payloadOf(
  body: JsonObject,
  dialect: DialectName,
  options: RequestOptions
): Uint8Array | null {
  try {
    return convertRequest(dialect, Buffer.from(JSON.stringify(body)), options).payload
  } catch (cause) {
    if (cause instanceof GatewayError) return null
    throw cause
  }
}

function verdictOf(outcome: Outcome): CandidateVerdict | null {
  const { fault } = outcome
  if (isAnswered(outcome)) return 'taken'
  if (fault === null) return null
  if (isUnexplained(fault)) return 'refused'
  return outcome.status >= 400 && outcome.status < 500 ? 'other' : null
}

/** Estimates the credits of one request, as long as the whole and with nothing of it cached. */
function costOf(body: JsonObject, dialect: DialectName, options: RequestOptions): number {
  const { plan } = convertRequest(dialect, Buffer.from(JSON.stringify(body)), options)
  const { inputTokens, upstreamModel: model } = plan
  const weight = UNCACHED_FACTOR * inputTokens + ANSWER_FACTOR * CHARGED_ANSWER_TOKENS
  return listedCredits({ model, inputTokens }, options.models) * CREDITS_PER_TOKEN * weight
}

function sizeOf({ byteLength }: Uint8Array): string {
  return byteLength < 10_000 ? `${byteLength} bytes` : `${Math.round(byteLength / 1000)} KB`
}
