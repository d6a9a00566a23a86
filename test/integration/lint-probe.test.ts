import { mkdirSync, readFileSync, statSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ProbeReport } from '../../src/cli/lint/probe-report.ts'
import { CliProcess, type CliOutcome, runKiroGateway } from '../helper/cli-process.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { DoctorRoom, SECRETS } from '../helper/run-doctor.ts'
import { startSimulator } from '../helper/run-simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy
t.jobs = 4 // most of them wait two seconds between their requests

interface Reply {
  readonly status: number
  readonly json: object
}

/** Answers a generation in place of the simulator; `null` leaves it to the simulator. */
type Rule = (payload: string, asked: number) => Reply | null

const REFUSED: Reply = {
  status: 400,
  json: { message: 'Improperly formed request.', reason: null }
}

const refuses =
  (...texts: readonly string[]): Rule =>
  (payload) =>
    texts.every((text) => payload.includes(text)) ? REFUSED : null

/** A strict upstream with hidden rules, and a room with a request in it. */
async function setUp(t: Test, rules: readonly Rule[], body: object) {
  const payloads: string[] = []
  const { url } = await startSimulator(t, {
    answers: (text, request: IncomingMessage, response: ServerResponse) => {
      if (!isGeneration(request)) return false
      payloads.push(text)
      const found = rules.map((rule) => rule(text, payloads.length)).find((one) => one !== null)
      if (found === undefined || found === null) return false
      response.writeHead(found.status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(found.json))
      return true
    }
  })
  const room = new DoctorRoom(t)
  const args = [...OPTIONS, room.write('request.json', JSON.stringify(body))]
  const options = { cwd: room.folder, env: room.settings(url) }
  return { payloads, room, options, args }
}

function isGeneration({ url, headers }: IncomingMessage): boolean {
  const target = String(headers['x-amz-target'] ?? '')
  return url === '/generateAssistantResponse' || target.endsWith('GenerateAssistantResponse')
}

const OPTIONS = ['lint', '--probe', '--yes', '--json']

function reportOf({ stdout, stderr }: CliOutcome): ProbeReport {
  try {
    return JSON.parse(stdout) as ProbeReport
  } catch {
    throw new Error(`no report:\n${stdout}\n${stderr}`)
  }
}

const pointersOf = ({ found }: ProbeReport) =>
  found.map(({ parts }) => parts.map(({ pointer }) => pointer))

/** A request with five tools; `more` are members of the schema of one of them. */
function request(more: object = {}) {
  const tools = ['read', 'write', 'list', 'find', 'run'].map((name) => ({
    type: 'function',
    function: {
      name,
      description: `Can ${name}.`,
      parameters: {
        type: 'object',
        properties: { path: { type: 'string', ...(name === 'list' && more) } },
        required: ['path']
      }
    }
  }))
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Look around.' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: 'c1', type: 'function', function: { name: 'read', arguments: '{"path":"/"}' } }
      ]
    },
    { role: 'tool', tool_call_id: 'c1', content: 'Nothing is there.' },
    { role: 'user', content: 'And now?' }
  ]
  return { model: 'claude-sonnet-4.6', tools, messages }
}

t.test('names the part, goes on after Ctrl-C, and keeps what it knows to itself', async (t) => {
  const body = request({ pattern: `^${SECRETS.apiKey}$` })
  const { payloads, room, options, args } = await setUp(t, [refuses('"pattern"')], body)
  const first = new CliProcess(args, options)
  await first.says(/Request 5 of 12: .*(refused|taken)/)
  first.child.kill('SIGINT')
  const stopped = await first.ended
  t.equal(stopped.code, 130)
  t.match(stopped.stderr, /Interrupted.*goes on from there/)
  const file = join(room.stateDir, 'lint-probes.json')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.notMatch(readFileSync(file, 'utf8'), /pattern|tools|Look around/)
  const before = payloads.length
  const second = await runKiroGateway(args, options)
  const report = reportOf(second)
  t.equal(second.code, 1)
  t.match(report, { end: 'complete', requests: { limit: 12 }, dialect: 'openai-chat' })
  t.same(pointersOf(report), [['/tools/2/function/parameters/properties/path/pattern']])
  t.match(report.found, [
    {
      certainty: 'sure',
      rule: { row: /^\| `tool-schema-pattern` \| .* \| borderline \| .* \|$/ }
    }
  ])
  t.ok(report.creditsAtMost > 0)
  t.match(second.stderr, /\d answers are known from an earlier run/)
  const [greeting] = payloads.slice(before)
  t.match(greeting, /"content":"Hi\."/, 'an outage since then would not be blamed on a part')
  const asked = payloads.slice(0, before).filter((one) => payloads.slice(before).includes(one))
  t.ok(asked.length <= 1, 'nothing else is asked again')
  for (const { stdout, stderr } of [stopped, second]) {
    for (const secret of Object.values(SECRETS)) t.notMatch(stdout + stderr, secret)
  }
  const third = await runKiroGateway(args, options)
  t.match(reportOf(third), { end: 'complete', requests: { sent: 0 } })
})

t.test('a greeting that was refused is asked again', async (t) => {
  let isWell = false
  const rules: Rule[] = [(payload) => (isWell ? refuses('"pattern"')(payload, 0) : REFUSED)]
  const { options, args } = await setUp(t, rules, request({ pattern: '^a$' }))
  t.match(reportOf(await runKiroGateway([...args, '--requests=3'], options)), {
    end: 'greeting-refused'
  })
  isWell = true
  t.match(reportOf(await runKiroGateway([...args, '--requests=3'], options)), { end: 'unfinished' })
})

t.test('goes on where its answers cannot be kept', async (t) => {
  const { room, options, args } = await setUp(
    t,
    [refuses('"pattern"')],
    request({ pattern: '^a$' })
  )
  mkdirSync(join(room.stateDir, 'lint-probes.json'), { recursive: true })
  const outcome = await runKiroGateway([...args, '--requests=3'], options)
  t.match(reportOf(outcome), { end: 'unfinished' })
  t.equal(outcome.stderr.match(/cannot be kept/g)?.length, 1, 'and says so once')
})

t.test('two rules at once, in words for people', async (t) => {
  const body = request({ contentEncoding: 'base64' })
  const rules = [refuses('contentEncoding'), refuses('Nothing is there.')]
  const { options } = await setUp(t, rules, body)
  const args = ['lint', '--probe', '--yes', '--requests', '40', 'request.json']
  const { stdout, stderr } = await runKiroGateway(args, options)
  t.match(stderr, /Up to 40 requests .* at most about \d+\.\d\d credits/)
  t.match(stdout, '/tools/2/function/parameters/properties/path/contentEncoding')
  t.match(stdout, '/messages/3/content')
  t.match(stdout, /As a rule:\n {2}\| `tool-schema-content-encoding` \|/)
})

t.test('stops at once when the account must not ask on', async (t) => {
  const refusals: Readonly<Record<string, Reply>> = {
    suspended: {
      status: 403,
      json: { message: 'Your User ID temporarily is suspended.', reason: 'TEMPORARILY_SUSPENDED' }
    },
    'rate-limited': { status: 429, json: { message: 'Too many requests.' } },
    'used up': { status: 402, json: { message: 'limit', reason: 'MONTHLY_REQUEST_COUNT' } }
  }
  for (const [what, reply] of Object.entries(refusals)) {
    const stop: Rule = (_payload, asked) => (asked === 2 ? reply : null)
    const { payloads, options, args } = await setUp(t, [stop], request())
    const outcome = await runCommandHere(args, options)
    t.match(reportOf(outcome), { end: 'stopped', means: new RegExp(what) })
    t.equal(payloads.length, 2, `${what}: nothing is sent after it`)
  }
})

t.test('blames no part for an outage', async (t) => {
  const down: Reply = { status: 500, json: { message: 'Internal.' } }
  const outage: Rule = (_payload, asked) => (asked > 3 ? down : null)
  const { options, args } = await setUp(
    t,
    [outage, refuses('"pattern"')],
    request({ pattern: 'a' })
  )
  const outcome = await runCommandHere(args, options)
  t.match(reportOf(outcome), { end: 'unwell', found: [], requests: { sent: 5 } })
})

t.test('leaves an answer once it begins', async (t) => {
  const long = request()
  const words = Array.from({ length: 40 }, (_, word) => `word${word}`)
  long.messages.push({ role: 'user', content: `sim:gap=1000 ${words.join(' ')}` })
  const { options, args } = await setUp(t, [], long)
  const started = performance.now()
  const outcome = await runCommandHere(args, options)
  t.match(reportOf(outcome), { end: 'taken' })
  t.equal(outcome.code, 0)
  t.ok(performance.now() - started < 20_000, 'the answer would take 40 s')
})

t.test('what it does not begin', async (t) => {
  const { payloads, options, args } = await setUp(t, [], { ...request(), model: 5 })
  const refused = await runCommandHere(args, options)
  t.equal(refused.code, 1)
  t.match(JSON.parse(refused.stdout), { ok: false })
  const unconfirmed = await runCommandHere(
    args.filter((one) => one !== '--yes'),
    options
  )
  t.equal(unconfirmed.code, 2)
  t.match(unconfirmed.stderr, /confirm with --yes/)
  const alone = await runCommandHere(['lint', '--requests', '5', 'a.json'], options)
  t.match(alone, { code: 2, stderr: /--requests needs --probe/ })
  t.equal(payloads.length, 0)
})
