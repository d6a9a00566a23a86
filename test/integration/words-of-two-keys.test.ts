import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { changeKeys, keysPath } from '../../src/keys/key-store.ts'
import { parseJsonObject } from '../../src/shared/json.ts'
import { peopleIn, REPLIES, startEchoUpstream } from '../helper/echo-upstream.ts'
import * as fc from '../helper/fast-check.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { ownersIn, wordsOf } from '../helper/own-words.ts'
import { headOf, type RawAnswer, RawConnection } from '../helper/raw-connection.ts'
import { stateFolder } from '../helper/state-folder.ts'

/**
 * Two people ask at once, in every way that is allowed and some that are not. No word of one is in anything that is the
 * other's: request, answer, log line, capture, debug file, stored answer, usage.
 */

t.setTimeout(600_000) // real processes, on a machine that may be busy

const PEOPLE = ['anna', 'bert'] as const
type Person = (typeof PEOPLE)[number]
const KEYS = { anna: 'kgw_key-of-anna-0123456789', bert: 'kgw_key-of-bert-0123456789' } as const
const OPERATOR = 'operator-key-0123456789'
const PATHS = [
  '/v1/chat/completions',
  '/v1/messages',
  '/v1/responses',
  '/v1/messages/count_tokens',
  '/v1/responses/input_tokens',
  '/v1/lint'
] as const
const WAYS = [
  'usual',
  'in pieces',
  'chunked',
  'behind the other',
  'leaves before the end of its body',
  'leaves before its answer',
  'is no JSON',
  'says too little of its body',
  'asks for an unknown model',
  'refers to an answer of its own',
  'refers to an answer of the other'
] as const
/** Ways in which requests have answers, which must come: all could fail, and no word would be in the wrong place. */
const ANSWERED_WAYS = [
  'usual',
  'in pieces',
  'chunked',
  'behind the other',
  'refers to an answer of its own'
] as const satisfies readonly (typeof WAYS)[number][]
const ANSWER_MS = 20_000
/** A failed request as the dashboard is told of it, by whose it is. */
const FAILED_ROW = /"id":"(anna|bert)-\d+"(?:(?!"id":).)*?"failure":\{.*?\}/g
const REASON = /"reason":"(?:[^"\\]|\\.)*"/g

const step = fc.record({
  who: fc.constantFrom(...PEOPLE),
  path: fc.constantFrom(...PATHS),
  way: fc.constantFrom(...WAYS),
  reply: fc.constantFrom(...REPLIES),
  isStream: fc.boolean(),
  bytes: fc.constantFrom(100, 3_000, 66_000, 140_000)
})
type Step = Parameters<Parameters<(typeof step)['map']>[0]>[0]

class Rig {
  readonly gateway: GatewayProcess
  readonly stateDir: string
  readonly mixed: string[]
  /** Items of answers, by whose they are. */
  readonly #items: Readonly<Record<Person, string[]>> = { anna: [], bert: [] }
  /** Answers with all words of their client, by the way in which it asked. */
  readonly whole = new Map<Step['way'], number>()
  asked = 0

  constructor(gateway: GatewayProcess, stateDir: string, mixed: string[]) {
    this.gateway = gateway
    this.stateDir = stateDir
    this.mixed = mixed
  }

  static async start(t: Test): Promise<Rig> {
    const stateDir = stateFolder(t)
    const keys = PEOPLE.map((name) =>
      namedKey({ id: `k_${name}`, name, hashes: [hashOfKey(KEYS[name])], maxStreams: 2 })
    )
    await changeKeys(keysPath(stateDir), () => keys, new AbortController().signal)
    const mixed: string[] = []
    const gateway = await startGateway({
      upstreamUrl: await startEchoUpstream(t, mixed),
      env: {
        WORKERS: '2',
        PROXY_API_KEY: OPERATOR,
        STATE_DIR: stateDir,
        LOG_LEVEL: 'debug',
        DEBUG_MODE: 'all',
        DEBUG_CONTENT: 'true',
        FIRST_TOKEN_MAX_RETRIES: '1'
      }
    })
    t.teardown(() => gateway.destroy())
    return new Rig(gateway, stateDir, mixed)
  }

  /** Asks as a step says. What comes must be the asker's own. */
  async ask({ who, path, way, reply, isStream, bytes }: Step): Promise<void> {
    const owner = `${who}-${++this.asked}`
    const other = who === 'anna' ? 'bert' : 'anna'
    const isReference = way.startsWith('refers')
    const from = way === 'refers to an answer of the other' ? other : who
    const item = isReference ? this.#items[from].at(-1) : undefined
    const asked = item === undefined ? path : '/v1/responses'
    const words = `${wordsOf(owner, bytes)} reply:${reply}`
    const body = Buffer.from(
      way === 'is no JSON'
        ? `{"messages": ${words}`
        : JSON.stringify(bodyOf(asked, { words, isStream, way, item }))
    )
    const connection = await RawConnection.open(this.gateway.url)
    const answers: string[] = []
    try {
      if (way === 'behind the other') {
        const before = JSON.stringify(
          bodyOf('/v1/chat/completions', {
            words: `${wordsOf(`${other}-0`, 200)} reply:slow`,
            isStream,
            way,
            item: undefined
          })
        )
        const head = headFor('/v1/chat/completions', {
          key: KEYS[other],
          id: `${other}-before-${owner}`,
          length: before.length
        })
        void connection.send(head + before)
      }
      const length =
        way === 'says too little of its body' ? Math.ceil(body.length / 2) : body.length
      await sendBody(connection, {
        head: headFor(asked, {
          key: KEYS[who],
          id: owner,
          length: way === 'chunked' ? null : length
        }),
        body,
        way
      })
      if (way.startsWith('leaves')) await delay(way.endsWith('answer') ? 50 : 5)
      else
        await Promise.race([
          readAnswers(connection, way === 'behind the other' ? 2 : 1, (answer) => {
            answers.push(answer.body)
            if (isWhole(answer, owner)) this.whole.set(way, (this.whole.get(way) ?? 0) + 1)
          }),
          delay(ANSWER_MS)
        ])
    } finally {
      answers.push(connection.rest)
      connection.close()
    }
    if (way === 'behind the other') {
      const [first = ''] = answers.splice(0, 1)
      this.#note(first, other, `the answer before that of ${owner}`)
    }
    for (const answer of answers) this.#note(answer, who, `an answer to ${owner}, which ${way}`)
    if (asked === '/v1/responses')
      this.#items[who].push(...(answers.join('').match(/\bmsg_\w+/g) ?? []))
  }

  #note(text: string, who: Person, what: string): void {
    const people = peopleIn(text).filter((one) => one !== who)
    if (people.length > 0) this.mixed.push(`${what} has words of ${people.join(' and ')}`)
  }

  /** Everything that the gateway keeps and tells, and whose it is. */
  async look(): Promise<Readonly<Record<string, number>>> {
    const { gateway, stateDir } = this
    await this.#lookAtPages()
    await this.#end()
    const logs = gateway.lines.map((line) => JSON.stringify(line))
    for (const line of logs) this.#look(line, `log: ${line.slice(0, 500)}`)
    const debug = filesIn(join(gateway.folder, 'debug_logs'))
    for (const path of debug) this.#look(readFileSync(path, 'latin1'), path)
    const responses = filesIn(join(stateDir, 'responses'))
    for (const path of responses) this.#look(readFileSync(path, 'latin1'), path)
    for (const path of filesIn(stateDir).filter((one) => one.includes('usage'))) {
      if (path.endsWith('.db')) this.#lookAtRows(path)
      else if (peopleIn(readFileSync(path)).length > 0) this.mixed.push(`${path} has words`)
    }
    return {
      asked: this.asked,
      logs: logs.length,
      debug: debug.length,
      responses: responses.length,
      ...Object.fromEntries(ANSWERED_WAYS.map((way) => [`whole, ${way}`, this.whole.get(way) ?? 0]))
    }
  }

  /** A row has no word of a conversation, but why its request failed, as the operator is told it. */
  #lookAtRows(path: string): void {
    const db = new DatabaseSync(path, { readOnly: true })
    const tables = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`).all()
    for (const { name } of tables) {
      for (const row of db.prepare(`SELECT * FROM "${String(name)}"`).all()) {
        const { facts, ...rest } = row
        const { f: why, ...others } = parseJsonObject(String(facts ?? '')) ?? {}
        const left = JSON.stringify([rest, others])
        if (peopleIn(left).length > 0) this.mixed.push(`words in a row of ${path}: ${left}`)
        this.#look(`${String(row['id'])} ${JSON.stringify(why)}`, `a row of ${path}`)
      }
    }
    db.close()
  }

  async #lookAtPages(): Promise<void> {
    const pages = await Promise.all(
      ['/metrics', '/v1/usage', '/dashboard/events'].map((path) => this.#page(path, OPERATOR))
    )
    for (const page of pages) this.#lookAtPage(page)
    for (const who of PEOPLE) {
      const page = await this.#page('/v1/usage', KEYS[who])
      const other = who === 'anna' ? 'bert' : 'anna'
      if (page.includes(other) || peopleIn(page).length > 0)
        this.mixed.push(`usage of ${who}: ${page}`)
    }
  }

  /** What the operator is told: of a conversation nothing but why a request failed, which the upstream may say in its words. */
  #lookAtPage(page: string): void {
    for (const [row = '', who] of page.matchAll(FAILED_ROW)) {
      if (peopleIn(row).some((one) => one !== who))
        this.mixed.push(`a row has words of others: ${row}`)
    }
    const rest = page.replaceAll(REASON, '')
    if (peopleIn(rest).length > 0) this.mixed.push(`words in ${rest.slice(0, 300)}`)
  }

  /** Ends the gateway, and with it all requests, so that no file changes any more. */
  async #end(): Promise<void> {
    this.gateway.child.kill('SIGTERM')
    await this.gateway.exited
  }

  /** What is one request's has the words of its client alone; the ids of requests begin with their client. */
  #look(text: string, what: string): void {
    const people = peopleIn(text)
    const [, named] = /\b(anna|bert)-/.exec(what.includes('/captures/') ? what : text) ?? []
    const isOne =
      people.length === 0 || (people.length === 1 && (named === undefined || people[0] === named))
    if (!isOne) this.mixed.push(`${what} has words of ${people.join(' and ')}`)
  }

  async #page(path: string, key: string): Promise<string> {
    const connection = await RawConnection.open(this.gateway.url)
    await connection.send(
      `GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nconnection: close\r\n\r\n`
    )
    await delay(500) // events go on
    const text = connection.rest
    connection.close()
    return text
  }
}

interface Words {
  readonly words: string
  readonly isStream: boolean
  readonly way: (typeof WAYS)[number]
  /** Of an earlier answer. */
  readonly item: string | undefined
}

function bodyOf(path: string, { words, isStream, way, item }: Words): object {
  const model = way === 'asks for an unknown model' ? 'claude-nobody-knows' : 'auto'
  const common = { model, stream: isStream && !path.includes('tokens') }
  const parameters = {
    type: 'object',
    properties: { words: { type: 'string', description: words.slice(0, 200) } }
  }
  if (path.startsWith('/v1/responses')) {
    const message = { role: 'user', content: words }
    const input = item === undefined ? words : [{ type: 'item_reference', id: item }, message]
    return { ...common, input, tools: [{ type: 'function', name: 'look', parameters }] }
  }
  const messages = [{ role: 'user', content: words }]
  if (path.startsWith('/v1/messages')) {
    const tools = [{ name: 'look', description: 'Looks.', input_schema: parameters }]
    return { ...common, max_tokens: 99, system: words.slice(0, 100), messages, tools }
  }
  return {
    ...common,
    messages,
    tools: [{ type: 'function', function: { name: 'look', parameters } }]
  }
}

function headFor(
  path: string,
  { key, id, length }: { key: string; id: string; length: number | null }
): string {
  return headOf(path, {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'x-request-id': id,
    ...(length === null ? { 'transfer-encoding': 'chunked' } : { 'content-length': length })
  })
}

async function sendBody(
  connection: RawConnection,
  { head, body, way }: { head: string; body: Buffer; way: (typeof WAYS)[number] }
): Promise<void> {
  const half = Math.ceil(body.length / 2)
  const halves = [body.subarray(0, half), body.subarray(half)]
  if (way === 'chunked') {
    void connection.send(head)
    for (const piece of halves) {
      void connection.send(
        Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
      )
      await delay(2)
    }
    void connection.send('0\r\n\r\n')
  } else if (way === 'usual') void connection.send(Buffer.concat([Buffer.from(head), body]))
  else {
    void connection.send(Buffer.concat([Buffer.from(head), halves[0] ?? body]))
    await delay(5)
    if (way !== 'leaves before the end of its body') void connection.send(halves[1] ?? '')
  }
}

/** What the upstream has said to this request is there, to its end. */
function isWhole({ status, body }: RawAnswer, owner: string): boolean {
  const ends =
    /\[DONE\]|"?message_stop|response\.completed|"finish_reason":"|"stop_reason":"|"status":"completed"/
  return status === 200 && ownersIn(body).has(owner) && ends.test(body)
}

/** Those that come, as far as they do. */
async function readAnswers(
  connection: RawConnection,
  count: number,
  onAnswer: (answer: RawAnswer) => void
): Promise<void> {
  try {
    for (let at = 0; at < count; at++) onAnswer(await connection.answer())
  } catch {
    // What is left is in `rest`.
  }
}

function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
}

t.test('no word of one key is in anything of another', async (t) => {
  const rig = await Rig.start(t)
  for (const path of ['/v1/chat/completions', '/v1/messages', '/v1/responses'] as const) {
    const asked = ANSWERED_WAYS.flatMap((way) =>
      PEOPLE.map((who) =>
        rig.ask({ who, path, way, reply: 'text', isStream: false, bytes: 66_000 })
      )
    )
    await Promise.all(asked)
  }
  const steps = fc.array(step, { minLength: 12, maxLength: 24 })
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      await Promise.all(all.map((one) => rig.ask(one)))
      if (rig.mixed.length > 0) throw new Error(rig.mixed.join('\n'))
    }),
    { numRuns: 4, endOnFailure: true }
  )
  const seen = await rig.look()
  t.comment(seen)
  t.same(rig.mixed, [])
  for (const [what, count] of Object.entries(seen)) t.ok(count > 0, what)
})
