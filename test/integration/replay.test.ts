import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { judgeCapture } from '../strict-simulator/judge-capture.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { doctoredProgram } from '../helper/doctored-program.ts'
import { freePort } from '../helper/free-port.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'
import { bundledProgram } from '../helper/program.ts'
import { next, say, searchFor } from '../helper/simulated-words.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const ROOT = join(import.meta.dirname, '../..')
const KEY = 'secret-client-key-of-the-gateway'
const TOKEN = 'test-access-token'
const MODEL = 'claude-haiku-4.5'
const DEBUG = { DEBUG_MODE: 'all', DEBUG_CONTENT: 'true', PROXY_API_KEY: KEY, WORKERS: '1' }

const simulator = new Simulator({ gapMs: 1 })
const { url: upstreamUrl } = await simulator.start()
t.teardown(() => simulator.close())
const gateway = await startGateway({ upstreamUrl, env: DEBUG })
t.teardown(() => gateway.destroy())
const work = mkdtempSync(join(tmpdir(), 'replay-test-'))
t.teardown(() => rmSync(work, { recursive: true, force: true }))

function capturesOf({ folder }: GatewayProcess): readonly string[] {
  const captures = join(folder, 'debug_logs', 'captures')
  try {
    return readdirSync(captures).map((name) => join(captures, name))
  } catch {
    return [] // none yet
  }
}

interface Asked {
  readonly path: string
  readonly body: object
}

/** Asks, and gives the folder of what was captured of it. */
async function capture(gateway: GatewayProcess, { path, body }: Asked): Promise<string> {
  const before = new Set(capturesOf(gateway))
  const response = await fetch(gateway.url + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${KEY}`,
      cookie: 'sid=secret-cookie'
    },
    body: JSON.stringify(body)
  })
  await response.text().catch(() => {}) // it may break off
  for (;;) {
    const found = capturesOf(gateway).find((one) => !before.has(one) && !one.endsWith('.open'))
    if (found !== undefined) return found
    await delay(20)
  }
}

/** Plays it with the program whose coverage is counted, which takes much longer. */
function replayCounted(...args: readonly string[]) {
  return runKiroGateway(['replay', ...args], { cwd: work })
}

function replay(...args: readonly string[]) {
  return runKiroGateway(['replay', ...args], { cwd: work, entry: bundledProgram().entry })
}

function keep(folder: string, name: string): string {
  const copy = join(work, name)
  cpSync(folder, copy, { recursive: true })
  return copy
}

function messages(content: string, more: object = {}): Asked {
  return {
    path: '/v1/messages',
    body: { model: MODEL, max_tokens: 1000, messages: [{ role: 'user', content }], ...more }
  }
}

function chat(content: string, more: object = {}): Asked {
  return {
    path: '/v1/chat/completions',
    body: { model: MODEL, messages: [{ role: 'user', content }], ...more }
  }
}

function responses(input: string, more: object = {}): Asked {
  return { path: '/v1/responses', body: { model: MODEL, input, ...more } }
}

const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const TOOLS = {
  messages: [{ name: 'get_weather', description: 'Weather.', input_schema: PARAMETERS }],
  chat: [{ type: 'function', function: { name: 'get_weather', parameters: PARAMETERS } }],
  responses: [{ type: 'function', name: 'get_weather', parameters: PARAMETERS }]
}
const CALL = 'use tool get_weather with {"city":"Rome"}'
const stream = { stream: true }
/** Replays at a time. */
const LANES = 2

/** Every shape of answer: whole, broken, refused, of several rounds. */
const CASES: Readonly<Record<string, Asked>> = {
  'a stream of Messages': messages('Hello', stream),
  'one piece of Messages': messages('Hello'),
  'a call of Messages': messages(CALL, { ...stream, tools: TOOLS.messages }),
  'a stream of Chat Completions': chat('Hello', {
    ...stream,
    stream_options: { include_usage: true }
  }),
  'one piece of Chat Completions': chat('Hello'),
  'a call of Chat Completions': chat(CALL, { ...stream, tools: TOOLS.chat }),
  'a stream of Responses': responses('Hello', stream),
  'one piece of Responses': responses('Hello'),
  'a call of Responses': responses(CALL, { ...stream, tools: TOOLS.responses }),
  'a reset': messages('Hello sim:reset sim:events=8', stream),
  'an end inside the body': chat('Hello sim:fin sim:events=8', stream),
  'a cut frame': messages('Hello sim:cut-frame sim:events=8', stream),
  'a corrupt frame': responses('Hello sim:corrupt sim:events=8', stream),
  'an exception in the middle': messages('Hello sim:exception-mid sim:events=8', stream),
  'another attempt': messages('Hello sim:flaky=1', stream),
  'a refusal': chat('Hello sim:improper', stream),
  'an unknown model': messages('Hello', { model: 'no-such-model' }),
  'pieces cut anywhere': chat('Hello sim:chunk=7 sim:events=8', stream),
  'searches of the web': messages(
    `${next(`${searchFor('b')} ${next(say('Done.'))}`)}\n\n${searchFor('a')}`,
    {
      ...stream,
      tools: [{ type: 'web_search_20250305', name: 'web_search' }]
    }
  )
}

/** Played again by day, one of each client API; `npm run nightly` plays all of them. */
const PLAYED = isNightly
  ? Object.keys(CASES)
  : ['another attempt', 'a call of Responses', 'a refusal', 'searches of the web']

/** Reach together what every replay does. */
const COUNTED = ['a call of Responses', 'searches of the web']

/** By day one that stalls in the middle: it is the same wait before the first word. */
const STALLS = ['Hello sim:stall sim:events=8', ...(isNightly ? ['Hello sim:stall-first'] : [])]

/** The reason for which an answer with a call ends is told wrongly. */
const FAULT = {
  from: `tool: 'tool_calls',`,
  to: `tool: 'stop',`,
  pointer: '/choices/0/finish_reason',
  was: '"stop"',
  is: '"tool_calls"'
}

t.test('what is captured is played again to the same answer', async (t) => {
  t.match(
    gateway.lines.filter(({ warning }) => /DEBUG_CONTENT is on/.test(String(warning))),
    [{ level: 'warn' }]
  )
  const replays: [name: string, folder: string][] = []
  for (const [name, asked] of Object.entries(CASES)) {
    const folder = await capture(gateway, asked)
    if (PLAYED.includes(name)) replays.push([name, folder])
    t.equal(statSync(folder).mode & 0o777, 0o700, name)
    for (const file of readdirSync(folder)) {
      t.equal(statSync(join(folder, file)).mode & 0o777, 0o600, `${name}: ${file}`)
      const text = readFileSync(join(folder, file), 'latin1')
      for (const secret of [KEY, TOKEN, 'secret-cookie', '123456789012']) {
        t.notOk(text.includes(secret), `${name}: ${file} has no ${secret}`)
      }
    }
  }
  t.equal(replays.length, PLAYED.length)
  const lanes = Array.from({ length: LANES }, async () => {
    for (let next = replays.pop(); next !== undefined; next = replays.pop()) {
      const [name, folder] = next
      const play = COUNTED.includes(name) ? replayCounted : replay
      const { code, stdout, stderr } = await play('--fast', folder)
      t.equal(code, 0, `${name}: ${stdout}${stderr}`)
      t.match(stdout, /^No difference: /m, name)
    }
  })
  await Promise.all(lanes)
  const searched = capturesOf(gateway).filter((one) => {
    const text = readFileSync(join(one, 'timeline.jsonl'), 'utf8')
    return text.includes('"kind":"mcp"') && text.includes('"call":5')
  })
  t.equal(searched.length, 1, 'two searches, between three questions')
  t.end()
})

t.test('DEBUG_MODE=errors keeps what has failed alone', async (t) => {
  const careful = await startGateway({ upstreamUrl, env: { ...DEBUG, DEBUG_MODE: 'errors' } })
  t.teardown(() => careful.destroy())
  for (let n = 0; n < 3; n++) {
    const response = await fetch(`${careful.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(chat('Hello').body)
    })
    t.equal(response.status, 200)
    await response.text()
  }
  const failed = await capture(careful, chat('Hello sim:reset sim:events=8', stream))
  const cut = await capture(careful, chat('Hello sim:cut-frame sim:events=8', stream))
  t.same(capturesOf(careful).toSorted(), [failed, cut].toSorted())
})

t.test(
  'a broken answer is played to the same difference, and is clean once it is mended',
  async (t) => {
    const file = 'src/dialects/openai-chat/answer.ts'
    const folder = doctoredProgram(t, file, FAULT)
    const program = join(folder, 'src/start.js')
    const broken = await startGateway({
      upstreamUrl,
      env: DEBUG,
      launcher: [process.execPath],
      program
    })
    t.teardown(() => broken.destroy())
    const asked = chat(CALL, { ...stream, tools: TOOLS.chat })
    const captured = keep(await capture(broken, asked), 'broken')

    const now = await replay('--json', captured)
    t.equal(now.code, 1, now.stderr)
    const { difference } = JSON.parse(now.stdout)
    const { pointer: place, was: then, is: today } = FAULT
    t.match(difference, { part: 'answer', number: Number, pointer: place, was: then, is: today })

    // By day from one side: the broken version is compiled anew for each of the others.
    if (!isNightly) return
    const replayBroken = (...args: readonly string[]) =>
      runKiroGateway(['replay', ...args], { cwd: work, entry: program })
    const again = await replayBroken('--fast', captured)
    t.equal(again.code, 0, 'the version that is broken breaks it again')

    const good = keep(await capture(gateway, asked), 'sound')
    const mirrored = await replayBroken('--json', '--fast', good)
    t.equal(mirrored.code, 1)
    const { was, is, pointer, number } = JSON.parse(mirrored.stdout).difference
    t.same(
      { was: is, is: was, pointer, number },
      {
        was: difference.was,
        is: difference.is,
        pointer: difference.pointer,
        number: difference.number
      },
      'the same difference from the other side'
    )
    writeFileSync(join(folder, file), readFileSync(join(ROOT, file)))
    const mended = await replayBroken('--fast', good)
    t.equal(mended.code, 0, `mended: ${mended.stdout}`)
  }
)

t.test('a client that has left, and an upstream that says nothing more', async (t) => {
  const env = { ...DEBUG, STREAMING_READ_TIMEOUT: '1', FIRST_TOKEN_TIMEOUT: '1' }
  const hasty = await startGateway({ upstreamUrl, env })
  t.teardown(() => hasty.destroy())
  const before = new Set(capturesOf(hasty))
  const leaving = new AbortController()
  const response = await fetch(`${hasty.url}/v1/messages`, {
    method: 'POST',
    signal: leaving.signal,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
    body: JSON.stringify(messages('Hello sim:events=500 sim:gap=50', stream).body)
  })
  await response.body?.getReader().read()
  leaving.abort()
  const isWhole = (one: string) => !before.has(one) && !one.endsWith('.open')
  while (!capturesOf(hasty).some(isWhole)) await delay(20)
  const left = capturesOf(hasty).find(isWhole) ?? ''
  t.match(JSON.parse(readFileSync(join(left, 'capture.json'), 'utf8')), { status: 499 })
  const cases = [left]
  for (const words of STALLS) cases.push(await capture(hasty, messages(words, stream)))
  for (const { code, stdout, stderr } of await Promise.all(
    cases.map((folder) => replay('--fast', folder))
  )) {
    t.equal(code, 0, stdout + stderr)
  }
})

t.test('pauses are played, too, and left out with --fast', async (t) => {
  const folder = keep(
    await capture(gateway, chat('Hello sim:events=4 sim:gap=500', stream)),
    'paced'
  )
  const took = async (...args: readonly string[]) => {
    const startedAt = performance.now()
    t.equal((await replay(...args, folder)).code, 0)
    return performance.now() - startedAt
  }
  t.ok((await took()) > 1500, 'the pauses of then')
  const lines = readFileSync(join(folder, 'timeline.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const chunks = lines.filter(({ type }) => type === 'chunk')
  t.ok(chunks.at(-1).at - chunks[0].at > 1400, 'as they came')
})

t.test('--against a gateway that runs', async (t) => {
  const port = await freePort()
  const folder = keep(await capture(gateway, messages('Hello', stream)), 'against')
  const other = await startGateway({
    env: {
      PROXY_API_KEY: KEY,
      KIRO_API_KEY: 'ksk_of-the-other-gateway',
      KIRO_API_URL: `http://127.0.0.1:${port}`
    }
  })
  t.teardown(() => other.destroy())
  const args = ['--listen', String(port), '--key', KEY, '--fast']
  const same = await replay(...args, '--against', other.url, folder)
  t.equal(same.code, 0, same.stdout + same.stderr)
  const wrong = await replayCounted(...args, '--against', gateway.url, folder)
  t.equal(wrong.code, 2)
  t.match(
    wrong.stderr,
    /did not call the recorded upstream\. Start it with KIRO_API_URL=http:\/\/127/
  )
  const gone = await replay(...args, '--against', 'http://127.0.0.1:9', folder)
  t.equal(gone.code, 2)
  t.match(gone.stderr, /No gateway answers at http:\/\/127\.0\.0\.1:9/)
})

t.test('npm run simulator -- --judge FOLDER says what the upstream would', async (t) => {
  const folder = keep(await capture(gateway, messages('Hello', stream)), 'simulated')
  t.same(await judgeCapture(folder), {
    isOk: true,
    lines: ['request 1 to the upstream (generation): taken']
  })
  const path = join(folder, 'upstream-request-1')
  const payload = JSON.parse(readFileSync(path, 'utf8'))
  payload.conversationState.currentMessage.userInputMessage.content = ''
  writeFileSync(path, JSON.stringify(payload))
  t.match(await judgeCapture(folder), {
    isOk: false,
    lines: [/^request 1 .*: refused with 400: Improperly formed request\. It breaks turn-text: /]
  })
})

t.test('--judge takes reasoning that the upstream signed, and prompts as they are', async (t) => {
  const folder = keep(await capture(gateway, messages('Hello', stream)), 'signed')
  const path = join(folder, 'upstream-request-1')
  const payload = JSON.parse(readFileSync(path, 'utf8'))
  const signature = Buffer.from('of the upstream').toString('base64')
  const reasoningText = { text: 'Hm.', signature }
  payload.conversationState.history = [
    { userInputMessage: { content: 'Hi', modelId: MODEL, origin: 'AI_EDITOR' } },
    { assistantResponseMessage: { content: 'Yes?', reasoningContent: { reasoningText } } }
  ]
  payload.conversationState.currentMessage.userInputMessage.content = 'What does sim:quota do?'
  writeFileSync(path, JSON.stringify(payload))
  t.same(await judgeCapture(folder), {
    isOk: true,
    lines: ['request 1 to the upstream (generation): taken']
  })
})
