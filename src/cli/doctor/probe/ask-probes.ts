import type { CredentialSnapshot } from '../../../kiro/wire/credential-snapshot.ts'
import { operatorError, type ErrorCode, GatewayError } from '../../../shared/errors.ts'
import { type CommandCall, textOption, UsageError } from '../../command.ts'
import type { Checkup } from '../checks/checkup.ts'
import { listModelsOf } from '../checks/known-models.ts'
import { renewSignIn, withProfile } from '../checks/known-sign-in.ts'
import { gptWindow, webSearch } from './account-probes.ts'
import { Asker, type Outcome, PAUSE_MS, ProbesStopped } from './asker.ts'
import { COUNTED_REQUESTS, tokenCounts } from './count-probe.ts'
import { documents } from './document-probe.ts'
import { ownName, requestForms } from './form-probes.ts'
import { idleProbe } from './idle-probe.ts'
import { type AnswerClass, type Probe, type ProbeResult, toCall } from './probe.ts'

/** In order: dependencies first, then the most informative. */
export const PROBES: readonly Probe[] = [
  requestForms,
  ownName,
  gptWindow,
  webSearch,
  documents,
  tokenCounts
]

export const STOPS: Readonly<Partial<Record<ErrorCode, AnswerClass>>> = {
  GW_UPSTREAM_RESTRICTED: {
    means: 'The upstream suspects this account of abuse.',
    change:
      'Do not use the account for some hours, not even through the gateway: each call prolongs the limit.'
  },
  GW_UPSTREAM_SUSPENDED: {
    means: 'The account is suspended.',
    change: 'Only Kiro support can lift this (https://kiro.dev).'
  },
  GW_UPSTREAM_QUOTA: {
    means: 'The quota of the account is used up.',
    change: 'Wait for its reset, or allow overage in the settings of the account.'
  },
  GW_UPSTREAM_RATE_LIMITED: {
    means: 'The account is being rate-limited, perhaps because of other programs.',
    change: 'Run the probes again when nothing else uses the account.'
  },
  GW_UPSTREAM_AUTH: {
    means: 'The token is refused.',
    change: 'Sign in again ("kiro-gateway login"), or start the gateway, which renews it.'
  }
}

export interface ProbeRun {
  readonly results: readonly ProbeResult[]
  readonly stopped: (AnswerClass & { readonly after: string }) | null
  readonly credits: number
}

/** Runs applicable probes one by one. @throws the signal's reason when it aborts. */
export async function runProbes(probes: readonly Probe[], asker: Asker): Promise<ProbeRun> {
  const results: ProbeResult[] = []
  let stopped: ProbeRun['stopped'] = null
  for (const probe of probes) {
    const { id, question } = probe
    const before = asker.outcomes.length
    const callsSince = () => asker.outcomes.slice(before).map(toCall)
    const reason = probe.skip(asker)
    if (reason !== null) {
      results.push({
        id,
        question,
        answer: 'skipped',
        means: `Not tested: ${reason}.`,
        change: null,
        calls: []
      })
      continue
    }
    try {
      const answer = await probe.ask(asker)
      const meaning = probe.answers[answer]
      if (meaning === undefined) throw new Error(`${id} has no answer "${answer}"`)
      results.push({ id, question, answer, ...meaning, calls: callsSince() })
    } catch (cause) {
      if (!(cause instanceof ProbesStopped)) throw cause
      stopped = stopOf(cause.outcome)
      const { means, change } = stopped
      results.push({ id, question, answer: 'stopped', means, change, calls: callsSince() })
      break
    }
  }
  const credits = asker.outcomes.reduce((sum, one) => sum + (one.credits ?? 0), 0)
  return { results, stopped, credits }
}

function stopOf({ fault, label }: Outcome): NonNullable<ProbeRun['stopped']> {
  const { code = 'GW_INTERNAL', message = '' } = fault ?? {}
  const known = STOPS[code] ?? { means: 'The upstream refuses further requests.', change: null }
  return { after: `${label}: ${message}`, ...known }
}

/** @throws {UsageError} if the costs cannot be confirmed, or an option is not valid. */
export function requireConsent(call: CommandCall): void {
  idleSeconds(call)
  if (call.values['yes'] === true || (call.terminal.isInteractive && !call.isJson)) return
  throw new UsageError('--probe costs credits; confirm with --yes')
}

export async function askProbes(call: CommandCall, checkup: Checkup): Promise<ProbeRun | null> {
  const { terminal, signal, values } = call
  if (values['yes'] !== true && !(await terminal.confirm(consentQuestion()))) return null
  const { network, config } = checkup
  const snapshot = await snapshotFor(checkup)
  if (snapshot instanceof GatewayError) return unasked(snapshot)
  const known = await listModelsOf(snapshot, checkup)
  const asker = new Asker({
    network,
    config,
    snapshot,
    models: known.name === 'listed' ? known.models : [],
    signal,
    onAsk: (label) => terminal.progress(`Asking: ${label} …`)
  })
  const seconds = idleSeconds(call)
  return runProbes(seconds === null ? PROBES : [...PROBES, idleProbe(seconds)], asker)
}

function consentQuestion(): string {
  const requests = 2 * (PROBES.length - 1) + COUNTED_REQUESTS
  const minutes = Math.ceil((requests * (PAUSE_MS + ANSWER_MS)) / 60_000)
  return `About ${requests} small requests will be sent for this account, over ${minutes === 1 ? 'a minute' : `${minutes} minutes`} or so, at a cost of a few credits. Continue?`
}

const ANSWER_MS = 2_000

/** Renews an expired sign-in. Returns why there is none to ask with. */
export async function snapshotFor(checkup: Checkup): Promise<CredentialSnapshot | GatewayError> {
  try {
    const renewed = await renewSignIn(checkup)
    if (renewed !== null) return await withProfile(renewed, checkup)
    const message = 'There is no sign-in to test with. Run "kiro-gateway login" first.'
    return operatorError(message)
  } catch (cause) {
    if (cause instanceof GatewayError) return cause
    throw cause
  }
}

function unasked({ message }: GatewayError): ProbeRun {
  const means = 'Nothing was tested, because there is no usable sign-in.'
  return { results: [], stopped: { after: message, means, change: null }, credits: 0 }
}

const MAX_IDLE_S = 300

function idleSeconds(call: CommandCall): number | null {
  const text = textOption(call, 'idle')
  if (text === null) return null
  const seconds = Number(text)
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= MAX_IDLE_S) return seconds
  throw new UsageError(`--idle needs a whole number of seconds from 1 to ${MAX_IDLE_S}`)
}
