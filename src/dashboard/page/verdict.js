/* Judges whether all is well: one sentence, and what each problem is and needs. Pure, for tests without a browser. */
import { amount, bytes, date, duration, moment, percent, plural, timeOfDay } from './format.js'

/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {import('../feed.ts').ShownAccount} Account */
/** @typedef {'good' | 'fair' | 'bad'} Level */
/** @typedef {{ level: Level, code: string, what: string, remedy: string }} Problem */
/** @typedef {{ level: Level, code: string, sentence: string, facts: string, problems: Problem[] }} Verdict */

const DAY_MS = 86_400_000
const SHORT_WAIT_MS = 500
const FLEET_SILENCE_MS = 10_000
const TOLD_MS = 60_000
/** Problems stay visible this long after they have passed, so that the page does not jump and people can read them. */
const LINGER_MS = 5_000

export class SteadyVerdict {
  /** @type {Map<string, { problem: Problem, trueAt: number }>} By code. Bounded by the codes that there are. */
  #seen = new Map()

  /**
   * @param {Verdict} verdict
   * @param {number} at milliseconds of any clock that never goes back
   * @returns {Verdict} what to show
   */
  next(verdict, at) {
    for (const one of verdict.problems) this.#seen.set(one.code, { problem: one, trueAt: at })
    for (const [code, { trueAt }] of this.#seen) {
      if (at - trueAt >= LINGER_MS) this.#seen.delete(code)
    }
    const passed = [...this.#seen.values()].flatMap(({ problem: one, trueAt }) =>
      trueAt === at ? [] : [{ ...one, what: `A moment ago: ${one.what}` }]
    )
    return passed.length === 0
      ? verdict
      : toVerdict([...verdict.problems, ...passed], verdict.facts)
  }

  forget() {
    this.#seen.clear()
  }
}

/**
 * @param {Now} now
 * @param {Account} account
 * @returns {Verdict}
 */
export function judge(now, account) {
  const problems = [
    ...accountProblems(now, account),
    ...signInProblems(now, account),
    ...quotaProblems(now, account),
    ...driftProblems(account),
    ...workerProblems(now),
    ...fleetProblems(now),
    ...waitProblems(now, account),
    ...failureProblems(now, account),
    ...loadProblems(now)
  ]
  return toVerdict(problems, factsOf(now, account))
}

/**
 * @param {Problem[]} found
 * @param {string} facts
 * @returns {Verdict}
 */
function toVerdict(found, facts) {
  const problems = found.toSorted((one, other) => rank(other) - rank(one))
  const [worst] = problems
  if (worst === undefined) {
    return { level: 'good', code: 'well', sentence: 'All is well.', facts, problems }
  }
  const code = problems.map((one) => one.code).join(' ')
  return { level: worst.level, code, sentence: worst.what, facts, problems }
}

/** @param {Problem} problem */
function rank({ level }) {
  return level === 'bad' ? 1 : 0
}

/**
 * @param {Now} now
 * @param {Account} account
 */
function factsOf({ workers, requests, waiting, connections }, { isSimulated }) {
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

/**
 * Lists the upstream's verdicts on the account, and the time of the next attempt.
 * @param {Now} now
 * @param {Account} account
 * @returns {Problem[]}
 */
function accountProblems({ at }, { problems, quota }) {
  return problems.map(({ code, message, until, bar }) => {
    const again = until === null ? '' : `The gateway calls Kiro again ${moment(until, at)}.`
    if (code === PLAN) return problem('bad', code, PLAN_USED_UP, planRemedy(until, at))
    if (code !== QUOTA) return problem('bad', code, message, again)
    const what = QUOTAS[bar ?? ''] ?? "The Kiro account's quota is used up."
    const isReset = until !== null && until === quota?.resetsAt
    const remedy = isReset ? `It resets ${moment(until, at)}.` : again
    return problem('bad', code, what, `${remedy} Kiro says: ${message}`.trim())
  })
}

const QUOTA = 'GW_UPSTREAM_QUOTA'
const PLAN = 'GW_PLAN_LIMIT'
const PLAN_USED_UP = "The plan's credits are used up; requests that would cost extra are refused."

/**
 * @param {number | null} until
 * @param {number} at
 */
function planRemedy(until, at) {
  const resets = until === null ? '' : `It resets ${moment(until, at)}. `
  return `${resets}To continue at extra cost: ALLOW_OVERAGE=true, or kiro-gateway key set NAME --overage for one key.`
}

/** @type {Readonly<Record<string, string>>} */
const QUOTAS = {
  monthly: "The Kiro account's monthly quota is used up.",
  daily: "The Kiro account's daily quota is used up.",
  hourly: "The Kiro account's hourly quota is used up."
}

/** Errors of a sign-in that existed; others were never made, or may not be used. */
const ENDED = ['GW_UPSTREAM_AUTH', 'GW_REGISTRATION_EXPIRED']

/**
 * The cause names the remedy that fits where the sign-in comes from, so that none is added here.
 * @param {Now} now
 * @param {Account} account
 * @returns {Problem[]}
 */
function signInProblems({ at }, { signIn }) {
  const { state, isUsable, endsAt } = signIn
  const { code = '', message: cause = '' } = signIn.problem ?? {}
  if (state === 'signed-out') {
    const what = ENDED.includes(code) ? 'The sign-in has ended.' : 'There is no usable sign-in.'
    return [problem('bad', 'signed-out', what, cause)]
  }
  if (state === 'failing') {
    const what = isUsable
      ? 'The sign-in cannot be renewed at the moment; its token is still valid.'
      : 'The sign-in cannot be renewed, so requests are refused.'
    const remedy =
      `${cause} The gateway retries automatically. If this lasts, run kiro-gateway doctor`.trim()
    return [problem(isUsable ? 'fair' : 'bad', 'sign-in-failing', what, remedy)]
  }
  if (!isUsable && state === 'waiting') {
    const what = 'The sign-in is being renewed; requests wait for it.'
    return [problem('fair', 'sign-in-waiting', what, 'This resolves in a moment.')]
  }
  if (endsAt !== null && endsAt - at < 3 * DAY_MS) {
    const what = `The sign-in ends ${endsAt <= at ? 'now' : `on ${date(endsAt)}`}.`
    return [problem('fair', 'sign-in-ends', what, signIn.remedy ?? '')]
  }
  return []
}

/**
 * @param {Now} now
 * @param {Account} account
 * @returns {Problem[]}
 */
function quotaProblems({ at }, { quota, problems }) {
  if (quota === null || problems.some(({ code }) => code === QUOTA || code === PLAN)) return []
  const { remaining, limit, unit, resetsAt, overage } = quota
  if (remaining === null || limit === null || limit <= 0) return []
  const until = resetsAt === null ? '' : `It resets ${moment(resetsAt, at)}.`
  const share = remaining / limit
  if (remaining <= 0 && overage?.isEnabled !== true) {
    return [problem('bad', 'quota-out', `All ${limit} ${unit} of the plan are used.`, until)]
  }
  if (share > 0.1 || remaining <= 0) return []
  const what = `${percent(share)} of the plan's ${unit} are left.`
  return [problem('fair', 'quota-low', what, until)]
}

/**
 * @param {Account} account
 * @returns {Problem[]}
 */
function driftProblems({ outlook }) {
  if (outlook?.isDrifting !== true) return []
  const what = `${amount(outlook.outsideToday)} credits used today did not go through this gateway, or were not metered.`
  const causes =
    'The Kiro IDE, kiro-cli or another gateway may use the same account, or a client sends a Kiro key of it.'
  return [problem('fair', 'plan-drift', what, causes)]
}

/**
 * @param {Now} now
 * @returns {Problem[]}
 */
function workerProblems({ at, workers, isCrashLooping }) {
  const missing = workers.filter(({ state }) => state !== 'ready')
  if (missing.length === 0) return deaths(at, workers)
  const names = missing.map(({ slot, state }) => `worker ${slot} is ${state}`).join(', ')
  const remedy = isCrashLooping
    ? 'It dies repeatedly. The reason is in the log: docker logs kiro-gateway'
    : 'It is replaced automatically. If this lasts, the reason is in the log.'
  const rest = workers.length - missing.length
  if (rest === 0) {
    return [problem('bad', 'no-worker', `No worker is ready: ${names}.`, remedy)]
  }
  const what = `${plural(rest, 'worker')} of ${workers.length} ${rest === 1 ? 'serves' : 'serve'}: ${names}.`
  return [problem(isCrashLooping ? 'bad' : 'fair', 'worker-missing', what, remedy)]
}

/**
 * @param {Now} now
 * @returns {Problem[]}
 */
function fleetProblems({ fleet }) {
  if (fleet === null) return []
  const { problem: reason, contactMs, members, replicas, phase, awaited } = fleet
  const ask = 'kiro-gateway fleet status lists the members.'
  if (reason !== null) return [problem('bad', 'fleet-outside', reason, ask)]
  if (contactMs !== null && contactMs > FLEET_SILENCE_MS) {
    const what = `The fleet's Valkey has not answered for ${duration(contactMs)}.`
    const remedy =
      'No connections are assigned meanwhile, and after the lease none are served. Check that it is running.'
    return [problem('bad', 'fleet-engine', what, remedy)]
  }
  if (fleet.unshared.length > 0) {
    const what = `The fleet's Valkey cannot read or write: ${fleet.unshared.join(', ')}.`
    const remedy = 'Each gateway continues with its own share. Check the memory of Valkey.'
    return [problem('fair', 'fleet-unshared', what, remedy)]
  }
  const here = members.filter(({ isSilent }) => !isSilent).length
  if (here >= replicas && phase === 'open') return []
  const names = awaited.length === 0 ? '' : ` ${awaited.join(', ')}: awaited.`
  const what = `${plural(here, 'gateway')} of ${replicas} in the fleet ${here === 1 ? 'is' : 'are'} present.${names}`
  const remedy =
    phase === 'learning'
      ? `No connections are granted until all are accounted for. ${ask}`
      : `The connections of the others return with them. ${ask}`
  return [problem('fair', 'fleet-missing', what, remedy)]
}

/**
 * A worker is replaced within a second or two: too soon to be seen, if it were not told afterwards.
 * @param {number} at
 * @param {Now['workers']} workers
 * @returns {Problem[]}
 */
function deaths(at, workers) {
  return workers.flatMap(({ slot, restarts, startedAt }) => {
    if (restarts === 0 || startedAt === null || at - startedAt > TOLD_MS) return []
    const what = `Worker ${slot} has died, and was replaced at ${timeOfDay(startedAt)}.`
    const remedy = 'Its streams were cut. The log line "worker died" has the reason.'
    return [problem('fair', 'worker-replaced', what, remedy)]
  })
}

/**
 * @param {Now} now
 * @param {Account} account
 * @returns {Problem[]}
 */
function waitProblems({ at, waiting, connections, pace }, { settings }) {
  const found = []
  const { permits, gated, longestMs, max, pausedUntil } = waiting
  const { budget, inUse } = connections
  if (pausedUntil !== null && pausedUntil > at) {
    const what = `The upstream asked for a pause; requests continue at ${timeOfDay(pausedUntil)}.`
    found.push(problem('fair', 'paused', what, 'No action is needed.'))
  } else if (gated > 0 && pace === null) {
    const what = 'Requests resume one by one after a pause requested by the upstream.'
    found.push(problem('fair', 'paused', what, 'No action is needed.'))
  } else if (gated > 0) {
    const what = `${plural(gated, 'request')} ${gated === 1 ? 'waits' : 'wait'} for the limit of ${pace?.limit} requests a minute.`
    const remedy = 'Raise UPSTREAM_MAX_REQUESTS_PER_MINUTE if the upstream allows more.'
    found.push(problem('fair', 'pace', what, remedy))
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
    found.push(problem(isLong ? 'bad' : 'fair', 'waiting', what, remedy))
  }
  return found
}

/** For one person three requests are the service. */
const MANY_FAILURES = 3

/**
 * Requests that failed one after the other, or many of a minute. Where the account is the reason, that has been said.
 * @param {Now} now
 * @param {Account} account
 * @returns {Problem[]}
 */
function failureProblems({ at, requests, errors }, { signIn, problems }) {
  const { perMinute, failedPerMinute, failing } = requests
  const told = [signIn.problem, ...problems].map((one) => one?.code)
  const streak = failing === null || told.includes(failing.code) ? 0 : failing.count
  const last =
    failing === null ? '' : `${failing.reason} (${failing.code}, ${moment(failing.at, at)})`
  if (streak >= MANY_FAILURES) {
    return [problem('bad', 'failures', `The last ${streak} requests failed.`, last)]
  }
  if (failedPerMinute >= 3 && failedPerMinute >= perMinute * 0.1) {
    const level = failedPerMinute >= perMinute / 2 ? 'bad' : 'fair'
    const what = `${Math.round(failedPerMinute)} of ${Math.round(perMinute)} requests failed in the last minute.`
    const most = errors.find(({ fault, lastHour }) => fault !== 'client' && lastHour > 0)
    const code = most === undefined ? '' : `Most are ${most.code}. `
    const how = 'Open a failed request below to see the reason.'
    return [problem(level, 'failures', what, `${code}${how}`)]
  }
  if (streak === 0) return []
  const what = streak === 1 ? 'The last request failed.' : `The last ${streak} requests failed.`
  return [problem('fair', 'failures', what, last)]
}

/**
 * @param {Now} now
 * @returns {Problem[]}
 */
function loadProblems({ memory, cpu, processes }) {
  const found = []
  const { usedBytes, limitBytes, of } = memory
  // The sum of processes counts shared memory more than once: no reason for an alarm.
  if (
    of === 'container' &&
    limitBytes !== null &&
    usedBytes !== null &&
    usedBytes > limitBytes * 0.85
  ) {
    const what = `Memory is short: ${bytes(usedBytes)} of ${bytes(limitBytes)}.`
    const remedy = 'Raise the memory limit of the container, or lower HTTP_MAX_CONNECTIONS.'
    found.push(problem(usedBytes > limitBytes * 0.95 ? 'bad' : 'fair', 'memory', what, remedy))
  }
  const late = processes.filter(({ loopDelayMs }) => (loopDelayMs?.p99 ?? 0) > 200)
  if (late.length > 0) {
    const names = late.map(
      ({ name, loopDelayMs }) => `${name} by ${duration(loopDelayMs?.p99 ?? 0)}`
    )
    const what = `The event loop is late: ${names.join(', ')}.`
    const remedy = 'The machine is overloaded, or very large requests are being converted.'
    found.push(problem('fair', 'loop', what, remedy))
  }
  if (cpu.cores !== null && cpu.limit !== null && cpu.cores > cpu.limit * 0.95) {
    const what = `All of the CPU is in use: ${cpu.cores.toFixed(2)} of ${cpu.limit} cores.`
    found.push(
      problem('fair', 'cpu', what, 'Give the container more CPUs, or send fewer requests.')
    )
  }
  return found
}

/**
 * @param {Level} level
 * @param {string} code
 * @param {string} what
 * @param {string} remedy
 * @returns {Problem}
 */
function problem(level, code, what, remedy) {
  return { level, code, what: what.trim(), remedy }
}
