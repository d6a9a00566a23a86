import {
  amount,
  duration,
  memorySize,
  moment,
  percent,
  plural,
  pointInTime
} from './figures-text.ts'
import type {
  GatewayVerdict,
  NamedTime,
  NowFigures,
  ShownAccount,
  VerdictAction,
  VerdictProblem
} from './feed.ts'

/*
 * Judges whether all is well: one sentence, and what each problem is and needs. The one judgement of the page, the
 * API and the commands.
 */

const DAY_MS = 86_400_000
const SHORT_WAIT_MS = 500
const FLEET_SILENCE_MS = 10_000
const TOLD_MS = 60_000
/** A start loads and compiles everything: its delays say nothing about the service. */
const START_MS = 60_000

export function judge(now: NowFigures, account: ShownAccount): GatewayVerdict {
  const problems = [
    ...accountProblems(now, account),
    ...signInProblems(now, account),
    ...quotaProblems(now, account),
    ...driftProblems(account),
    ...workerProblems(now),
    ...fleetProblems(now),
    ...waitProblems(now, account),
    ...failureProblems(now, account),
    ...loadProblems(now, account)
  ]
  return toVerdict(problems, factsOf(now, account))
}

function toVerdict(found: readonly VerdictProblem[], facts: string): GatewayVerdict {
  const problems = found.toSorted((one, other) => rank(other) - rank(one))
  const [worst] = problems
  if (worst === undefined) {
    const sentence = 'All is well.'
    return { level: 'green', code: 'well', sentence, facts, problems, action: null }
  }
  const code = problems.map((one) => one.code).join(' ')
  const { level, what, action } = worst
  return { level, code, sentence: what, facts, problems, action }
}

function rank({ level }: VerdictProblem): number {
  return level === 'red' ? 1 : 0
}

function factsOf(
  { workers, requests, waiting, connections }: NowFigures,
  { isSimulated }: ShownAccount
): string {
  const ready = workers.filter(({ state }) => state === 'ready').length
  const { budget, inUse } = connections
  const sentences = [
    `${plural(ready, 'worker')} ${ready === 1 ? 'serves' : 'serve'} ${plural(requests.streams, 'stream')}`,
    waiting.permits === 0 ? 'none waiting' : `${waiting.permits} wait`,
    budget === null
      ? `${plural(inUse, 'connection')} in use, without a limit`
      : `${inUse} of ${plural(budget, 'connection')} in use`
  ]
  const simulated = isSimulated
    ? ' Answers come from the built-in simulator, not from a model.'
    : ''
  return `${sentences.join(', ')}.${simulated}`
}

/** Lists the upstream's verdicts on the account, and the time of the next attempt. */
function accountProblems(
  { at }: NowFigures,
  { problems, quota }: ShownAccount
): readonly VerdictProblem[] {
  return problems.map(({ code, message, until, bar }) => {
    const again = until === null ? '' : `The gateway calls Kiro again ${moment(until, at)}.`
    const more = { until, times: named(at, until) }
    if (code === PLAN)
      return { ...problem('red', code, PLAN_USED_UP, planRemedy(until, at)), ...more }
    const action = bar === null ? null : CALL_AGAIN
    if (code !== QUOTA) return { ...problem('red', code, message, again), ...more, action }
    const what = QUOTAS[bar ?? ''] ?? "The Kiro account's quota is used up."
    const isReset = until !== null && until === quota?.resetsAt
    const remedy = isReset ? `The quota resets ${moment(until, at)}.` : again
    const said = `${remedy} Kiro says: ${message}`.trim()
    return { ...problem('red', code, what, said), ...more, action }
  })
}

/** Lifts what the gateway remembers of the account. */
const CALL_AGAIN: VerdictAction = { label: 'Call Kiro again now', place: 'gateway' }
const SIGN_IN: VerdictAction = { label: 'Sign in to Kiro', place: 'gateway' }
const FAILED: VerdictAction = {
  label: 'Show failed requests',
  place: 'requests?since=1h&failed=true'
}

const QUOTA = 'GW_UPSTREAM_QUOTA'
const PLAN = 'GW_PLAN_LIMIT'
const PLAN_USED_UP = "The plan's credits are used up; requests that would cost extra are refused."

function planRemedy(until: number | null, at: number): string {
  const resets = until === null ? '' : `The plan resets ${moment(until, at)}. `
  return `${resets}To continue at extra cost: ALLOW_OVERAGE=true, or kiro-gateway key set NAME --overage for one key.`
}

const QUOTAS: Readonly<Record<string, string>> = {
  monthly: "Kiro's monthly credits are used up.",
  daily: "Kiro's credits of the day are used up.",
  hourly: "Kiro's credits of the hour are used up."
}

/** Errors of a sign-in that existed; others were never made, or may not be used. */
const ENDED = ['GW_UPSTREAM_AUTH', 'GW_REGISTRATION_EXPIRED']

/** The cause names the remedy that fits where the sign-in comes from, so that none is added here. */
function signInProblems({ at }: NowFigures, { signIn }: ShownAccount): readonly VerdictProblem[] {
  const { state, isUsable, endsAt } = signIn
  const { code = '', message: cause = '' } = signIn.problem ?? {}
  if (state === 'signed-out') {
    const what = ENDED.includes(code) ? 'The sign-in has ended.' : 'There is no usable sign-in.'
    return [{ ...problem('red', 'signed-out', what, cause), action: SIGN_IN }]
  }
  if (state === 'failing') {
    const what = isUsable
      ? 'The sign-in cannot be renewed at the moment; its token is still valid.'
      : 'The sign-in cannot be renewed, so requests are refused.'
    const remedy =
      `${cause} The gateway retries automatically. If this lasts, run kiro-gateway doctor`.trim()
    return [problem(isUsable ? 'amber' : 'red', 'sign-in-failing', what, remedy)]
  }
  if (!isUsable && state === 'waiting') {
    const what = 'The sign-in is being renewed; requests wait for it.'
    return [problem('amber', 'sign-in-waiting', what, 'This resolves in a moment.')]
  }
  if (endsAt !== null && endsAt - at < 3 * DAY_MS) {
    const what = `The sign-in ends ${endsAt <= at ? 'now' : moment(endsAt, at)}.`
    const times = named(at, endsAt)
    return [{ ...problem('amber', 'sign-in-ends', what, signIn.remedy ?? ''), times }]
  }
  return []
}

function quotaProblems(
  { at }: NowFigures,
  { quota, problems }: ShownAccount
): readonly VerdictProblem[] {
  if (quota === null || problems.some(({ code }) => code === QUOTA || code === PLAN)) return []
  const { remaining, limit, unit, resetsAt, overage } = quota
  if (remaining === null || limit === null || limit <= 0) return []
  const resets = resetsAt === null ? '' : `The plan resets ${moment(resetsAt, at)}.`
  const more = { until: resetsAt, times: named(at, resetsAt) }
  const share = remaining / limit
  if (remaining <= 0 && overage?.isEnabled !== true) {
    const what = `All ${amount(limit)} ${unit} of the plan are used.`
    return [{ ...problem('red', 'quota-out', what, resets), ...more }]
  }
  if (share > 0.1 || remaining <= 0) return []
  const what = `${percent(share)} of the plan's ${unit} are left.`
  return [{ ...problem('amber', 'quota-low', what, resets), ...more }]
}

function driftProblems({ outlook }: ShownAccount): readonly VerdictProblem[] {
  if (outlook?.isDrifting !== true) return []
  const what = `${amount(outlook.outsideToday)} credits used today did not go through this gateway, or were not metered.`
  const causes =
    'The Kiro IDE, kiro-cli or another gateway may use the same account, or a client sends a Kiro key of it.'
  return [problem('amber', 'plan-drift', what, causes)]
}

function workerProblems({ at, workers, isCrashLooping }: NowFigures): readonly VerdictProblem[] {
  const missing = workers.filter(({ state }) => state !== 'ready')
  if (missing.length === 0) return deaths(at, workers)
  const names = missing.map(({ slot, state }) => `worker ${slot} is ${state}`).join(', ')
  const remedy = isCrashLooping
    ? 'It dies repeatedly. The reason is in the log: docker logs kiro-gateway'
    : 'It is replaced automatically. If this lasts, the reason is in the log.'
  const rest = workers.length - missing.length
  if (rest === 0) {
    return [problem('red', 'no-worker', `No worker is ready: ${names}.`, remedy)]
  }
  const what = `${plural(rest, 'worker')} of ${workers.length} ${rest === 1 ? 'serves' : 'serve'}: ${names}.`
  return [problem(isCrashLooping ? 'red' : 'amber', 'worker-missing', what, remedy)]
}

function fleetProblems({ fleet }: NowFigures): readonly VerdictProblem[] {
  if (fleet === null) return []
  const { problem: reason, contactMs, members, replicas, phase, awaited } = fleet
  const ask = 'kiro-gateway fleet status lists the members.'
  if (reason !== null) return [problem('red', 'fleet-outside', reason, ask)]
  if (contactMs !== null && contactMs > FLEET_SILENCE_MS) {
    const what = `The fleet's Valkey has not answered for ${duration(contactMs)}.`
    const remedy =
      'No connections are assigned meanwhile, and after the lease none are served. Check that it is running.'
    return [problem('red', 'fleet-engine', what, remedy)]
  }
  if (fleet.unshared.length > 0) {
    const what = `The fleet's Valkey cannot read or write: ${fleet.unshared.join(', ')}.`
    const remedy = 'Each gateway continues with its own share. Check the memory of Valkey.'
    return [problem('amber', 'fleet-unshared', what, remedy)]
  }
  const here = members.filter(({ isSilent }) => !isSilent).length
  if (here >= replicas && phase === 'open') return []
  const names = awaited.length === 0 ? '' : ` ${awaited.join(', ')}: awaited.`
  const what = `${plural(here, 'gateway')} of ${replicas} in the fleet ${here === 1 ? 'is' : 'are'} present.${names}`
  const remedy =
    phase === 'learning'
      ? `No connections are granted until all are accounted for. ${ask}`
      : `The connections of the others return with them. ${ask}`
  return [problem('amber', 'fleet-missing', what, remedy)]
}

/** A worker is replaced within a second or two: too soon to be seen, if it were not told afterwards. */
function deaths(at: number, workers: NowFigures['workers']): readonly VerdictProblem[] {
  return workers.flatMap(({ slot, restarts, startedAt }) => {
    if (restarts === 0 || startedAt === null || at - startedAt > TOLD_MS) return []
    const what = `Worker ${slot} has died, and was replaced ${pointInTime(startedAt, at)}.`
    const remedy = 'Its streams were cut. The log line "worker died" has the reason.'
    const times = named(at, startedAt)
    return [{ ...problem('amber', 'worker-replaced', what, remedy), times }]
  })
}

function waitProblems(
  { at, waiting, connections, pace }: NowFigures,
  { settings }: ShownAccount
): readonly VerdictProblem[] {
  const found: VerdictProblem[] = []
  const { permits, gated, longestMs, max, pausedUntil } = waiting
  const { budget, inUse } = connections
  if (pausedUntil !== null && pausedUntil > at) {
    const what = `The upstream asked for a pause; requests continue ${moment(pausedUntil, at)}.`
    const times = named(at, pausedUntil)
    found.push({ ...problem('amber', 'paused', what, 'No action is needed.'), times })
  } else if (gated > 0 && pace === null) {
    const what = 'Requests resume one by one after a pause requested by the upstream.'
    found.push(problem('amber', 'paused', what, 'No action is needed.'))
  } else if (gated > 0) {
    const what = `${plural(gated, 'request')} ${gated === 1 ? 'waits' : 'wait'} for the limit of ${pace?.limit} requests a minute.`
    const remedy = 'Raise UPSTREAM_MAX_REQUESTS_PER_MINUTE if the upstream allows more.'
    found.push(problem('amber', 'pace', what, remedy))
  }
  // Brief waits are what a queue is for.
  const lacking = permits - gated
  if (lacking > 0 && longestMs >= SHORT_WAIT_MS) {
    const isLong = longestMs > 10_000 || (max !== null && permits > max / 2)
    const what = `${plural(lacking, 'request')} ${lacking === 1 ? 'waits' : 'wait'} for a connection, the longest for ${duration(longestMs)}.`
    const isFull = budget !== null && inUse >= budget * 0.9
    const cause = isFull
      ? `${inUse} of ${budget} connections are in use. Raise HTTP_MAX_CONNECTIONS if the upstream allows more.`
      : 'Connections are free, so HTTP_MAX_CONNECTIONS is not the reason. If this lasts, see the log.'
    const bound =
      settings.poolTimeoutMs === null
        ? ''
        : ` After ${duration(settings.poolTimeoutMs)} they are refused (HTTP_POOL_TIMEOUT).`
    const remedy = `${cause}${bound}`
    found.push(problem(isLong ? 'red' : 'amber', 'waiting', what, remedy))
  }
  return found
}

/** Requests that failed one after the other, or many of a minute. Where the account is the reason, that has been said. */
function failureProblems(
  { at, requests, errors }: NowFigures,
  { signIn, problems }: ShownAccount
): readonly VerdictProblem[] {
  const { perMinute, failedPerMinute, failing } = requests
  const told = [signIn.problem, ...problems].map((one) => one?.code)
  const streak = failing === null || told.includes(failing.code) ? 0 : failing.count
  const last =
    failing === null ? '' : `${failing.reason} (${failing.code}, ${moment(failing.at, at)})`
  const times = named(at, failing?.at ?? null)
  if (streak > 0 && failing?.level === 'red') {
    return [{ ...failures('red', `The last ${streak} requests failed.`, last), times }]
  }
  if (failedPerMinute >= 3 && failedPerMinute >= perMinute * 0.1) {
    const what = `${Math.round(failedPerMinute)} of ${Math.round(perMinute)} requests failed in the last minute.`
    const most = errors.find(({ fault, lastHour }) => fault !== 'client' && lastHour > 0)
    const code = most === undefined ? '' : `Most are ${most.code}. `
    const how = 'Open a failed request to see the reason.'
    return [failures('amber', what, `${code}${how}`)]
  }
  if (streak === 0) return []
  const what = streak === 1 ? 'The last request failed.' : `The last ${streak} requests failed.`
  return [{ ...failures('amber', what, last), times }]
}

function failures(level: 'amber' | 'red', what: string, remedy: string): VerdictProblem {
  return { ...problem(level, 'failures', what, remedy), action: FAILED }
}

function loadProblems(
  { at, memory, cpu, processes, requests }: NowFigures,
  { startedAt }: ShownAccount
): readonly VerdictProblem[] {
  const found: VerdictProblem[] = []
  const { usedBytes, limitBytes, of } = memory
  // The sum of processes counts shared memory more than once: no reason for an alarm.
  if (of === 'container' && usedBytes > limitBytes * 0.85) {
    const what = `Memory is short: ${memorySize(usedBytes)} of ${memorySize(limitBytes)}.`
    const remedy = 'Raise the memory limit of the container, or lower HTTP_MAX_CONNECTIONS.'
    found.push(problem(usedBytes > limitBytes * 0.95 ? 'red' : 'amber', 'memory', what, remedy))
  }
  const isStarting = at - startedAt < START_MS
  const isIdle = requests.inFlight === 0 && requests.perMinute === 0
  const late = processes.filter(({ loopDelayMs }) => (loopDelayMs?.p99 ?? 0) > 200)
  if (late.length > 0 && !isStarting && !isIdle) {
    const names = late.map(
      ({ name, loopDelayMs }) => `${name} by ${duration(loopDelayMs?.p99 ?? 0)}`
    )
    const what = `The event loop is late: ${names.join(', ')}.`
    const remedy = 'The machine is overloaded, or very large requests are being converted.'
    found.push(problem('amber', 'loop', what, remedy))
  }
  if (cpu.cores > cpu.limit * 0.95 && !isStarting) {
    const what = `All of the CPU is in use: ${cpu.cores.toFixed(2)} of ${cpu.limit} cores.`
    found.push(
      problem('amber', 'cpu', what, 'Give the container more CPUs, or send fewer requests.')
    )
  }
  return found
}

function problem(
  level: 'amber' | 'red',
  code: string,
  what: string,
  remedy: string
): VerdictProblem {
  return { level, code, what: what.trim(), remedy, until: null, action: null, times: [] }
}

/** Names the time of a sentence, as `moment()` writes it. */
function named(now: number, time: number | null): readonly NamedTime[] {
  return time === null ? [] : [{ text: pointInTime(time, now), at: time }]
}
