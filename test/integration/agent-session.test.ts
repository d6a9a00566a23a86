import Anthropic from '@anthropic-ai/sdk'
import t from 'tap'
import { trueTokens } from '../counts/true-tokens.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { skipByDay } from '../helper/nightly.ts'
import { Simulator } from '../strict-simulator/simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const TURNS = 200
/** Compaction begins here, as it does in clients: by the usage that they are told. */
const COMPACT_AT_TOKENS = 100_000
/** Turns in which the gateway learns how the model counts. */
const FIRST_TURNS = 10
/** Share of the client's tokens by which a count may be off, in a small conversation after a large one, too. */
const MAX_ERROR = 0.05

type Message = Anthropic.MessageParam

const tools: Anthropic.Tool[] = [
  'Bash',
  'Read',
  'mcp__a-server__with_a_very_long_name_'.repeat(2)
].map((name) => ({
  name,
  description: `Does what ${name} does, to a file.\n`.repeat(10),
  input_schema: {
    type: 'object',
    properties: { path: { type: 'string' }, lines: { type: ['integer', 'null'] } },
    required: ['path'],
    additionalProperties: false
  }
}))

/** Text as it is in files and logs: words, code, numbers, now and then another script. */
function fileText(random: () => number, chars: number): string {
  const kinds = [
    () => `export function read${Math.floor(random() * 99)}(value: string): number {\n`,
    () => 'The parser keeps the rest of a chunk until the next one arrives.\n',
    () => `{"id":${Math.floor(random() * 1e6)},"ok":true,"tags":["a","b"]}\n`,
    () => `2026-11-24T12:00:${Math.floor(random() * 60)}Z INFO request done in 12ms\n`,
    () => '请把解析器改成保留剩余的部分。\n'
  ]
  let text = ''
  while (text.length < chars) text += kinds[Math.floor(random() * random() * kinds.length)]?.()
  return text
}

/**
 * An agent at work, without the waiting: turns with parallel tools, users who interrupt, compaction when the usage
 * says so. What it sends is what agents send after all this, wrong order and missing results included.
 */
class AgentSession {
  messages: Message[] = []
  readonly #random = seededRandom(20261124)
  #turn = 0

  /** The next user turn: results of the calls before, or a new task. */
  prepare(last: Anthropic.Message | null): void {
    this.#turn++
    const calls = last?.content.filter((block) => block.type === 'tool_use') ?? []
    if (last !== null) this.messages.push({ role: 'assistant', content: last.content })
    const results = calls.flatMap(({ id }): Anthropic.ToolResultBlockParam[] => {
      const chance = this.#random()
      if (chance < 0.05) return [] // interrupted before it was run
      const content = fileText(this.#random, 500 + this.#random() * 6000)
      return [{ type: 'tool_result', tool_use_id: id, content, is_error: chance < 0.15 }]
    })
    if (this.#random() < 0.1) results.reverse()
    this.messages.push({
      role: 'user',
      content: [...results, { type: 'text', text: this.#task() }]
    })
    if (this.#random() < 0.03)
      this.messages.push({ role: 'user', content: '[Request interrupted by user]' })
  }

  /** What clients do when the window fills up: a summary, and only the latest turns as they were. */
  compact(): void {
    const kept = this.messages.slice(-3)
    this.messages = [
      { role: 'user', content: 'Summary: the parser is fixed up to line 40.' },
      ...kept
    ]
  }

  #task(): string {
    const call = `Bash with {"path":"/a/${this.#turn}"}`
    if (this.#turn % 4 === 0) return `Now sum up. sim:gap=0 ${fileText(this.#random, 300)}`
    if (this.#turn % 7 === 0) return `call tools ${call} and Read and ${tools[2]?.name} sim:gap=0`
    return `call tools ${call} and Read sim:gap=0`
  }
}

t.test('two hours of an agent in fast motion', { skip: skipByDay }, async (t) => {
  // A real vocabulary and a hidden prompt: the simulator's own rule is made to show errors of counts.
  const simulator = new Simulator({ gapMs: 0, tokens: trueTokens() })
  t.teardown(() => simulator.close())
  const { url } = await simulator.start()
  const gateway = await startGateway({ upstreamUrl: url, env: { PROXY_API_KEY: 'k' } })
  t.teardown(() => gateway.destroy())
  const client = new Anthropic({ baseURL: gateway.url, apiKey: 'k', maxRetries: 0 })
  const session = new AgentSession()
  const worst = { started: NONE, counted: NONE }
  let last: Anthropic.Message | null = null
  let compactions = 0
  let before = 0
  for (let turn = 0; turn < TURNS; turn++) {
    session.prepare(last)
    const request = { model: 'claude-haiku-4.5', messages: session.messages, tools }
    const isCounted = turn % 10 === 9 || before === 0
    const counted = isCounted ? await client.messages.countTokens(request) : null
    const stream = client.messages.stream({ ...request, max_tokens: 8000 })
    let started = 0
    let hidden = 0
    stream.on('streamEvent', (event) => {
      if (event.type === 'message_start') started = event.message.usage.input_tokens
      if (event.type === 'message_delta') hidden = hiddenTokens(event.usage)
    })
    last = await stream.finalMessage()
    const { input_tokens: told, output_tokens: said } = last.usage
    if (!(said > 0 && told > 0 && started > 0)) t.fail(`turn ${turn} has usage ${told}, ${said}`)
    // Together they do not depend on whether the hidden prompt is told apart yet.
    const all = told + hidden
    if (all < before) t.fail(`turn ${turn} tells ${all} tokens after ${before}`)
    before = all
    if (turn >= FIRST_TURNS) {
      worst.started = worse(worst.started, { turn, told, count: started })
      if (counted !== null)
        worst.counted = worse(worst.counted, { turn, told, count: counted.input_tokens })
    }
    if (told < COMPACT_AT_TOKENS) continue
    session.compact()
    compactions++
    before = 0
    last = null
  }
  t.comment(`${compactions} compactions; off by ${worded(worst.started)} at most`)
  t.ok(compactions >= 2, 'the window was full more than once')
  t.ok(errorOf(worst.started) < MAX_ERROR, `message_start: ${worded(worst.started)}`)
  t.ok(errorOf(worst.counted) < MAX_ERROR, `count_tokens: ${worded(worst.counted)}`)
})

/** The gateway's own member, which the SDK does not know. */
function hiddenTokens(usage: object): number {
  return 'hidden_tokens' in usage ? Number(usage.hidden_tokens) : 0
}

interface Count {
  readonly turn: number
  readonly told: number
  readonly count: number
}

const NONE: Count = { turn: 0, told: 1, count: 1 }

function errorOf({ told, count }: Count): number {
  return Math.abs(count / told - 1)
}

function worse(one: Count, other: Count): Count {
  return errorOf(other) > errorOf(one) ? other : one
}

function worded({ turn, told, count }: Count): string {
  const percent = (errorOf({ turn, told, count }) * 100).toFixed(1)
  return `${percent} % in turn ${turn}, which counted ${count} and was told ${told}`
}
