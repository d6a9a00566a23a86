import t, { type Test } from 'tap'
import type { Terminal } from '../../../src/cli/command.ts'
import { Checkup } from '../../../src/cli/doctor/checks/checkup.ts'
import { listModelsOf } from '../../../src/cli/doctor/checks/known-models.ts'
import { Network } from '../../../src/cli/network.ts'
import {
  askProbes,
  PROBES,
  requireConsent,
  runProbes,
  STOPS
} from '../../../src/cli/doctor/probe/ask-probes.ts'
import { Asker, PAUSE_MS } from '../../../src/cli/doctor/probe/asker.ts'
import { COUNTED_REQUESTS } from '../../../src/cli/doctor/probe/count-probe.ts'
import { idleProbe } from '../../../src/cli/doctor/probe/idle-probe.ts'
import type { Probe } from '../../../src/cli/doctor/probe/probe.ts'
import { inspectConfig } from '../../../src/config/load.ts'
import { countRequest, sumOfGroups } from '../../../src/kiro/tokens/request-tokens.ts'
import type { UpstreamPayload } from '../../../src/kiro/wire/payload.ts'
import type { CredentialSnapshot } from '../../../src/kiro/wire/credential-snapshot.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'
import {
  answerOf,
  type ProbeReply,
  type ProbeRule,
  ProbeUpstream,
  REFUSED,
  type SeenRequest
} from '../../helper/probe-upstream.ts'
import { endFrame, eventFrame, textFrame } from '../../helper/upstream-frames.ts'
import { startSimulator } from '../../helper/run-simulator.ts'

t.setTimeout(300_000)

/** Answers that were met, as `P1 both`. */
const met = new Set<string>()

const TOKEN = 'a-token-that-nobody-may-see'

interface Interview {
  readonly probes?: readonly Probe[]
  readonly rules?: readonly ProbeRule[]
  readonly snapshot?: Partial<CredentialSnapshot>
  readonly pauseMs?: number
  readonly env?: Readonly<Record<string, string>>
}

/** Asks an upstream that answers by rules, and by the simulator where they say nothing. */
async function interview(
  t: Test,
  { probes = PROBES, rules = [], snapshot, pauseMs = 0, env = {} }: Interview
) {
  const { url } = await startSimulator(t)
  const upstream = await ProbeUpstream.start(t, url)
  upstream.rules = rules
  const { config } = inspectConfig({ ...env, KIRO_API_URL: upstream.url })
  const network = new Network(config)
  t.teardown(() => network.close())
  const account = credentialSnapshot({
    token: TOKEN,
    authType: 'social',
    profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/TEST',
    ...snapshot
  })
  const { signal } = new AbortController()
  const known = await listModelsOf(account, { network, config, signal })
  const asker = new Asker({
    network,
    config,
    snapshot: account,
    models: known.name === 'listed' ? known.models : [],
    signal,
    pauseMs,
    onAsk: () => {}
  })
  const run = await runProbes(probes, asker)
  for (const { id, answer } of run.results) met.add(`${id} ${answer}`)
  const answers = Object.fromEntries(run.results.map(({ id, answer }) => [id, answer]))
  return { upstream, run, answers }
}

function only(...ids: readonly string[]): readonly Probe[] {
  return PROBES.filter(({ id }) => id === 'P1' || ids.includes(id))
}

/** Refuses generations of which this is true. */
function refuse(
  isMeant: (request: SeenRequest) => boolean,
  reply: ProbeReply = REFUSED
): ProbeRule {
  return (request) => (request.operation === 'generate' && isMeant(request) ? reply : null)
}

const BROKEN: ProbeReply = { status: 500, json: { message: 'Internal.' } }

const search =
  (isMeant: (request: SeenRequest) => boolean, reply: ProbeReply): ProbeRule =>
  (request) =>
    request.operation === 'search' && isMeant(request) ? reply : null
const window =
  (maxInputTokens: number): ProbeRule =>
  ({ operation }) =>
    operation === 'models'
      ? {
          status: 200,
          json: { models: [{ modelId: 'gpt-5.6-luna', tokenLimits: { maxInputTokens } }] }
        }
      : null
const hasPdf = ({ text }: SeenRequest): boolean => text.includes('"documents"')
const isEarlier = ({ text }: SeenRequest): boolean => text.includes('"history"')

t.test('of the simulator', async (t) => {
  const { answers, run, upstream } = await interview(t, {})
  const { P11: counts, ...others } = answers
  t.ok(counts === 'near' || counts === 'fair', `its counts are ${counts}`)
  t.same(others, {
    P1: 'both',
    P2: 'admitted',
    P10: 'large',
    P9: 'both',
    P4: 'dropped' // it reads no documents
  })
  t.equal(run.stopped, null)
  t.ok(run.credits > 0, 'credits are added up')
  t.ok(upstream.requests.length < 18, `${upstream.requests.length} requests`)
  t.notOk(JSON.stringify(run).includes(TOKEN), 'no token')
})

t.test('which forms are taken', async (t) => {
  const forms: Readonly<Record<string, readonly ProbeRule[]>> = {
    target: [refuse(({ form }) => form === 'path')],
    path: [refuse(({ form }) => form === 'target')],
    neither: [refuse(() => true)],
    unclear: [refuse(() => true, BROKEN)]
  }
  for (const [answer, rules] of Object.entries(forms)) {
    const { answers } = await interview(t, { probes: only('P2', 'P9'), rules })
    t.equal(answers['P1'], answer)
    if (answer === 'neither') t.equal(answers['P9'], 'skipped')
  }
})

t.test('whether the name is admitted', async (t) => {
  const message = 'Your subscription does not support this application. Contact your administrator.'
  const rules = [refuse(() => true, { status: 403, json: { message } })]
  const { answers } = await interview(t, { probes: only('P2'), rules })
  t.equal(answers['P2'], 'not-admitted')
  const snapshot = {
    authType: 'api-key',
    token: 'ksk_test',
    tokenType: 'API_KEY',
    profileArn: null
  } as const
  const withKey = await interview(t, { probes: only('P2'), rules, snapshot })
  t.equal(withKey.answers['P2'], 'not-admitted-with-key')
})

/** Finds the word of a document, as a model does. */
const read: ProbeRule = (request) => {
  if (!hasPdf(request)) return null
  const bytes = /"bytes":"([^"]+)"/.exec(request.text)?.[1] ?? ''
  const word = /\((\w+)\) Tj/.exec(Buffer.from(bytes, 'base64').toString())?.[1] ?? ''
  return answerOf(word)
}

t.test('documents', async (t) => {
  const cases: Readonly<Record<string, readonly ProbeRule[]>> = {
    read: [read],
    'current-only': [refuse((one) => hasPdf(one) && isEarlier(one)), read],
    refused: [refuse(hasPdf)],
    unclear: [refuse(hasPdf, BROKEN)]
  }
  for (const [answer, rules] of Object.entries(cases)) {
    t.equal((await interview(t, { probes: only('P4'), rules })).answers['P4'], answer)
  }
})

/** Measures as many tokens as are counted times a factor, and a prompt of its own, in a window. */
function measure(factorOf: (request: SeenRequest) => number, windowTokens = 1_000_000): ProbeRule {
  return (request) => {
    if (request.operation !== 'generate') return null
    const payload = JSON.parse(request.text) as UpstreamPayload
    const { tokens } = countRequest(payload, Buffer.from(JSON.stringify(payload)))
    const measured = sumOfGroups(tokens) * factorOf(request) + 1_900
    const told = eventFrame('contextUsageEvent', {
      contextUsagePercentage: (measured * 100) / windowTokens
    })
    return { frames: [textFrame('OK'), told, endFrame] }
  }
}

const hasBoth = ({ text }: SeenRequest): boolean =>
  text.includes('GW_UPSTREAM') && !text.includes('GW_CONFIG_INVALID')

t.test('how far counts of tokens are off', async (t) => {
  const cases: Readonly<Record<string, ProbeRule>> = {
    near: measure(() => 1.2),
    fair: measure((request) => (hasBoth(request) ? 1.35 : 1.2)),
    far: measure((request) => (hasBoth(request) ? 2 : 1.2)),
    unmeasured: ({ operation }) => (operation === 'generate' ? answerOf('OK') : null),
    refused: refuse(({ text }) => text.length > 5_000),
    unclear: refuse(({ text }) => text.length > 5_000, BROKEN)
  }
  for (const [answer, rule] of Object.entries(cases)) {
    const { answers, run } = await interview(t, { probes: only('P11'), rules: [rule] })
    t.equal(answers['P11'], answer)
    const calls = run.results.at(-1)?.calls.map(({ label }) => label) ?? []
    const errors = calls.filter((label) => / counted, \d+ measured .* % off$/.test(label))
    if (answer === 'near') t.equal(errors.length, COUNTED_REQUESTS, calls.join('; '))
    t.ok(calls.length <= 2 * COUNTED_REQUESTS)
  }
})

t.test('counts in a window that a setting corrects', async (t) => {
  const probes = only('P11')
  const rules = [measure(() => 1.2, 3_000_000)]
  const env = { MODEL_CONTEXT_WINDOWS: 'claude-haiku-5.5=3000000' }
  const { answers } = await interview(t, { probes, rules, env })
  t.equal(answers['P11'], 'near')
})

t.test('what an account gets', async (t) => {
  const cases: readonly (readonly [string, string, ProbeRule])[] = [
    ['P9', 'path', search(({ form }) => form === 'target', REFUSED)],
    ['P9', 'target', search(({ form }) => form === 'path', REFUSED)],
    ['P9', 'none', search(() => true, REFUSED)],
    ['P9', 'unclear', search(() => true, BROKEN)],
    ['P10', 'small', window(272_000)]
  ]
  for (const [id, answer, rule] of cases) {
    const { answers } = await interview(t, { probes: only(id), rules: [rule] })
    t.equal(answers[id], answer, `${id} ${answer}`)
  }
})

t.test('stops at the first refusal that is meant for the account', async (t) => {
  const refusals: Readonly<Record<string, ProbeReply>> = {
    GW_UPSTREAM_RESTRICTED: {
      status: 429,
      json: { message: 'Due to suspicious activity, we are imposing limits on d-0123456789.' }
    },
    GW_UPSTREAM_SUSPENDED: {
      status: 403,
      json: { message: 'Your User ID temporarily is suspended.', reason: 'TEMPORARILY_SUSPENDED' }
    },
    GW_UPSTREAM_QUOTA: { status: 402, json: { message: 'limit', reason: 'MONTHLY_REQUEST_COUNT' } },
    GW_UPSTREAM_RATE_LIMITED: { status: 429, json: { message: 'Too many requests.' } },
    GW_UPSTREAM_AUTH: { status: 401, json: { message: 'The bearer token is invalid.' } }
  }
  t.same(Object.keys(refusals), Object.keys(STOPS))
  for (const [code, reply] of Object.entries(refusals)) {
    const { run, upstream } = await interview(t, {
      rules: [refuse(({ form }) => form === 'target', reply)]
    })
    t.equal(upstream.generations.length, 2, `${code}: nothing is asked after it`)
    t.match(run.stopped, { after: /^target form: / })
    t.match(run.results.at(-1), { id: 'P1', answer: 'stopped' })
  }
})

t.test('asks nothing without consent', async (t) => {
  const { url } = await startSimulator(t)
  const env = { KIRO_API_KEY: 'ksk_1', KIRO_API_URL: url, STATE_DIR: t.testdir() }
  const checkup = new Checkup({ ...inspectConfig(env), env, signal: new AbortController().signal })
  t.teardown(() => checkup[Symbol.asyncDispose]())
  const questions: string[] = []
  const terminal: Terminal = {
    write: () => {},
    note: () => {},
    progress: () => {},
    redraw: () => {},
    isRedrawn: false,
    ask: async () => '',
    confirm: async (question) => {
      questions.push(question)
      return false
    },
    isInteractive: true
  }
  const { signal } = checkup
  const call = { values: { probe: true }, positionals: [], isJson: false, env, terminal, signal }
  t.doesNotThrow(() => requireConsent(call))
  t.equal(await askProbes(call, checkup), null)
  t.match(questions, [/About \d+ small requests .* a cost of a few credits/])
  const stats = (await (await fetch(`${url}/__simulator/stats`)).json()) as {
    requests: { total: number }
  }
  t.equal(stats.requests.total, 0)
  for (const unable of [{ isJson: true }, { terminal: { ...terminal, isInteractive: false } }]) {
    t.throws(() => requireConsent({ ...call, ...unable }), { name: 'UsageError' })
    t.doesNotThrow(() => requireConsent({ ...call, ...unable, values: { yes: true } }))
  }
})

t.test('pauses between requests', async (t) => {
  t.equal(PAUSE_MS, 2000)
  const { upstream } = await interview(t, { probes: only('P9'), pauseMs: 150 })
  const times = upstream.requests
    .filter(({ operation }) => operation !== 'models')
    .map(({ at }) => at)
  t.ok(times.length >= 5)
  for (const [index, at] of times.slice(1).entries()) t.ok(at - (times[index] ?? 0) >= 150)
})

t.test('how long an idle connection is kept', async (t) => {
  for (const [keepAliveTimeoutMs, answer] of [
    [300, 'dropped'],
    [60_000, 'kept']
  ] as const) {
    const { simulator, url } = await startSimulator(t, { keepAliveTimeoutMs })
    const { config } = inspectConfig({ KIRO_API_URL: url })
    const network = new Network(config)
    t.teardown(() => network.close())
    const snapshot = credentialSnapshot()
    const { signal } = new AbortController()
    const asker = new Asker({ network, config, snapshot, models: [], signal, onAsk: () => {} })
    const { results } = await runProbes([idleProbe(1)], asker)
    t.match(results, [{ id: 'P6', answer, calls: [{ label: `idle for 1 s: ${answer}` }] }])
    met.add(`P6 ${answer}`)
    await simulator.close()
    const gone = await runProbes([idleProbe(1)], asker)
    t.match(gone.results, [{ answer: 'unclear' }])
  }
})

t.test('every answer that there may be has been met', async (t) => {
  const possible = PROBES.flatMap(({ id, answers }) =>
    Object.keys(answers).map((answer) => `${id} ${answer}`)
  )
  t.same(
    possible.filter((answer) => !met.has(answer)),
    []
  )
})
