/*
 * Is all well? One sentence, and of each thing that is not well what it is, why, and what to change. Pure, so that tests can
 * try each case without a browser.
 */
import { bytes, date, duration, percent, plural, timeOfDay } from './format.js'

/** @typedef {import('../feed.ts').Now} Now */
/** @typedef {import('../feed.ts').ShownAccount} Account */
/** @typedef {'good' | 'fair' | 'bad'} Level */
/** @typedef {{ level: Level, code: string, what: string, remedy: string }} Problem */
/** @typedef {{ level: Level, code: string, sentence: string, facts: string, problems: Problem[] }} Verdict */

const DAY_MS = 86_400_000
const SHORT_WAIT_MS = 500
/** An engine that does not answer for so long is away. */
const FLEET_SILENCE_MS = 10_000
/** How long it is told that a worker has died. */
const TOLD_MS = 60_000
/** Trouble stays in sight for so long when it has passed: the page should not jump, and people have to read it. */
const LINGER_MS = 5_000

/** Verdicts as they are shown: worse news at once, better ones when they have lasted. */
export class SteadyVerdict {
  /** @type {Verdict | null} */
  #shown = null
  /** When what is shown was last true. */
  #trueAt = 0

  /**
   * @param {Verdict} verdict
   * @param {number} at milliseconds of any clock that never goes back
   * @returns {Verdict} what to show
   */
  next(verdict, at) {
    const isLess = this.#shown !== null && weight(verdict) < weight(this.#shown)
    if (this.#shown !== null && isLess && at - this.#trueAt < LINGER_MS) return this.#shown
    this.#shown = verdict
    this.#trueAt = at
    return verdict
  }

  /** What was shown says nothing of what comes: there was no connection meanwhile. */
  forget() {
    this.#shown = null
  }
}

/** @param {Verdict} verdict */
function weight({ level, problems }) {
  return { good: 0, fair: 100, bad: 200 }[level] + problems.length
}

/**
 * @param {Now} now
 * @param {Account} account
 * @returns {Verdict}
 */
export function judge(now, account) {
  const problems = [
    ...signInProblems(now, account),
    ...quotaProblems(account),
    ...workerProblems(now),
    ...fleetProblems(now),
    ...waitProblems(now, account),
    ...failureProblems(now),
    ...loadProblems(now)
  ].toSorted((one, other) => rank(other) - rank(one))
  const [worst] = problems
  const facts = factsOf(now, account)
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
    waiting.permits === 0 ? 'nobody waits' : `${waiting.permits} wait`,
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
 * @param {Now} now
 * @param {Account} account
 * @returns {Problem[]}
 */
function signInProblems({ at }, { signIn, problems }) {
  const found = problems.map(({ code, message, until }) => {
    const remedy = until === null ? '' : `Until ${timeOfDay(until)}, as far as is known.`
    return problem('bad', code, message, remedy)
  })
  const { state, isUsable, endsAt } = signIn
  const cause = signIn.problem?.message ?? ''
  if (state === 'signed-out') {
    found.push(
      problem('bad', 'signed-out', `The sign-in has ended. ${cause}`, 'Run: kiro-gateway login')
    )
  } else if (state === 'failing') {
    const what = isUsable
      ? 'The sign-in cannot be renewed for now; its token still serves.'
      : 'The sign-in cannot be renewed, so requests are refused.'
    const remedy =
      `${cause} It is tried again by itself. If it stays so: kiro-gateway doctor`.trim()
    found.push(problem(isUsable ? 'fair' : 'bad', 'sign-in-failing', what, remedy))
  } else if (!isUsable && state === 'waiting') {
    const what = 'The sign-in is being renewed; requests wait for it.'
    found.push(problem('fair', 'sign-in-waiting', what, 'It passes in a moment.'))
  } else if (endsAt !== null && endsAt - at < 3 * DAY_MS) {
    const what = `The sign-in ends ${endsAt <= at ? 'now' : `on ${date(endsAt)}`}.`
    found.push(problem('fair', 'sign-in-ends', what, 'Run: kiro-gateway login'))
  }
  return found
}

/**
 * @param {Account} account
 * @returns {Problem[]}
 */
function quotaProblems({ quota }) {
  if (quota === null) return []
  const { remaining, limit, unit, resetsAt, overage } = quota
  if (remaining === null || limit === null || limit <= 0) return []
  const until = resetsAt === null ? '' : ` It begins anew on ${date(resetsAt)}.`
  const share = remaining / limit
  if (remaining <= 0 && overage?.isEnabled !== true) {
    return [problem('bad', 'quota-out', `All ${limit} ${unit} of the plan are used.`, until.trim())]
  }
  if (share > 0.1 || remaining <= 0) return []
  const what = `${percent(share)} of the plan's ${unit} are left.`
  return [problem('fair', 'quota-low', what, until.trim())]
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
    ? 'It ends again and again. The log says why: docker logs kiro-gateway'
    : 'It is replaced by itself. If it stays so, the log says why.'
  const rest = workers.length - missing.length
  if (rest === 0) {
    return [problem('bad', 'no-worker', `No worker serves: ${names}.`, remedy)]
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
  const ask = 'kiro-gateway fleet status says who is there.'
  if (reason !== null) return [problem('bad', 'fleet-outside', reason, ask)]
  if (contactMs !== null && contactMs > FLEET_SILENCE_MS) {
    const what = `The engine of the fleet has not answered for ${duration(contactMs)}.`
    const remedy = 'Nothing is lent meanwhile, and in time nothing served. Is it up?'
    return [problem('bad', 'fleet-engine', what, remedy)]
  }
  if (fleet.unshared.length > 0) {
    const what = `The engine of the fleet does not take or tell: ${fleet.unshared.join(', ')}.`
    const remedy = 'Each gateway goes on with its own part of them. Has the engine memory left?'
    return [problem('fair', 'fleet-unshared', what, remedy)]
  }
  const here = members.filter(({ isSilent }) => !isSilent).length
  if (here >= replicas && phase === 'open') return []
  const names = awaited.length === 0 ? '' : ` ${awaited.join(', ')}: awaited.`
  const what = `${plural(here, 'gateway')} of ${replicas} in the fleet ${here === 1 ? 'is' : 'are'} there.${names}`
  const remedy =
    phase === 'learning'
      ? `Nothing is granted anew until all are accounted for. ${ask}`
      : `What the others had comes back when they do. ${ask}`
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
    const remedy = 'Its streams were cut. The line "worker died" in the log says why.'
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
    const what = `The upstream asked for a pause; requests go on at ${timeOfDay(pausedUntil)}.`
    found.push(problem('fair', 'paused', what, 'It passes by itself.'))
  } else if (gated > 0) {
    const limit = pace === null ? '' : ` of ${pace.limit} a minute`
    const what = `${plural(gated, 'request')} ${gated === 1 ? 'waits' : 'wait'} for the pace${limit}.`
    const remedy = 'UPSTREAM_MAX_REQUESTS_PER_MINUTE may be raised if the upstream bears more.'
    found.push(problem('fair', 'pace', what, remedy))
  }
  // Waits of a moment are what a queue is for.
  if (permits > gated && longestMs >= SHORT_WAIT_MS) {
    const isLong = longestMs > 10_000 || (max !== null && permits > max / 2)
    const what = `${plural(permits, 'request')} ${permits === 1 ? 'waits' : 'wait'} for a connection, the longest for ${duration(longestMs)}.`
    const isFull = budget !== null && inUse >= budget * 0.9
    const cause = isFull ? `${inUse} of ${budget} connections are in use. ` : ''
    const bound =
      settings.poolTimeoutMs === null
        ? ''
        : ` After ${duration(settings.poolTimeoutMs)} they are refused (HTTP_POOL_TIMEOUT).`
    const remedy = `${cause}Raise HTTP_MAX_CONNECTIONS if the upstream may take more at once.${bound}`
    found.push(problem(isLong ? 'bad' : 'fair', 'waiting', what, remedy))
  }
  return found
}

/**
 * @param {Now} now
 * @returns {Problem[]}
 */
function failureProblems({ requests, errors }) {
  const { perMinute, failedPerMinute } = requests
  if (failedPerMinute < 3 || failedPerMinute < perMinute * 0.1) return []
  const [most] = errors
  const level = failedPerMinute >= perMinute / 2 ? 'bad' : 'fair'
  const code = most === undefined ? '' : `Most are ${most.code}. `
  const what = `${Math.round(failedPerMinute)} of ${Math.round(perMinute)} requests failed in the last minute.`
  return [
    problem(level, 'failures', what, `${code}A failed request below says why when it is opened.`)
  ]
}

/**
 * @param {Now} now
 * @returns {Problem[]}
 */
function loadProblems({ memory, cpu, processes }) {
  const found = []
  const { usedBytes, limitBytes, of } = memory
  // The sum of processes counts what they share more than once: no reason for an alarm.
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
    found.push(problem('fair', 'cpu', what, 'Give the container more CPUs, or send it less.'))
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
