import assert from 'node:assert/strict'
import t from 'tap'
import { convertRequest, DIALECT_NAMES, type DialectName } from '../../src/dialects/dialect.ts'
import type { RequestOptions } from '../../src/dialects/request/to-upstream.ts'
import { isBlank } from '../../src/kiro/wire/message.ts'
import type { HistoryEntry, UpstreamPayload } from '../../src/kiro/wire/payload.ts'
import * as fc from '../helper/fast-check.ts'
import {
  type GrownConversation,
  grownConversations,
  requestAt
} from '../helper/grown-conversations.ts'
import { isNightly } from '../helper/nightly.ts'
import { simulatorOptions } from '../helper/request-options.ts'

/**
 * The upstream finds a conversation in its cache by the bytes in front (kiro-protocol §9.7), and charges the cold price
 * for all that stands behind the first one that has changed. `npm run prefixes` checks as many conversations as the
 * project promises.
 */

t.setTimeout(600_000)

const HISTORY = '"history":['
const RUNS = Number(process.env['PREFIX_RUNS'] ?? (isNightly ? 300 : 50))

for (const dialect of DIALECT_NAMES) {
  for (const form of ['path', 'target'] as const) {
    const options = simulatorOptions({ form })
    t.test(`a ${dialect} conversation that grows keeps its bytes, ${form} form`, async () => {
      const property = fc.property(grownConversations, (conversation) => {
        const requests = conversation.turns.map((_, last) =>
          sent(dialect, requestAt(dialect, conversation, last), options)
        )
        for (const [index, next] of requests.entries()) {
          const before = requests[index - 1]
          if (before === undefined) continue
          assertGrown(before, next)
          if (isNamed(conversation)) assert.equal(next.id, before.id, 'one conversation, one id')
        }
      })
      fc.assert(property, { numRuns: RUNS })
    })
  }
}

function assertGrown(before: Sent, next: Sent): void {
  assert.equal(next.tools, before.tools, 'the same tools')
  assert.equal(next.fields, before.fields, 'the same effort')
  assert.equal(next.history.slice(0, before.history.length), before.history, 'the same history')
  const { content, images, userInputMessageContext: context } = before.current
  // What a turn of nothing at all says is not true of it afterwards (§4.9).
  if (content.includes('<thinking_mode>')) return // tags ask for reasoning now, and are of no use later
  const isFiller = content.endsWith('Continue.') && !images && !context?.toolResults
  if (!isFiller) assert.equal(next.entries[before.entries.length], before.currentEntry, 'as it was')
}

/** Whether anything tells it from others: its session, or what was said first. */
function isNamed({ session, turns: [first] }: GrownConversation): boolean {
  return session !== null || first?.words.some((one) => !isBlank(one)) === true
}

interface Sent {
  readonly id: string
  readonly tools: string
  readonly fields: string
  /** The bytes of the history, without its closing bracket. */
  readonly history: string
  readonly entries: readonly string[]
  readonly current: UpstreamPayload['conversationState']['currentMessage']['userInputMessage']
  /** The current message as it has to stand in the history. */
  readonly currentEntry: string
}

function sent(dialect: DialectName, request: object, options: RequestOptions): Sent {
  const body = Buffer.from(JSON.stringify(request))
  const json = Buffer.from(convertRequest(dialect, body, options).payload).toString()
  const { conversationState: state, additionalModelRequestFields } = JSON.parse(
    json
  ) as UpstreamPayload
  const { userInputMessage: current } = state.currentMessage
  const entries = (state.history ?? []).map((entry) => JSON.stringify(entry))
  const at = json.indexOf(HISTORY)
  const history =
    entries.length === 0 ? '' : json.slice(at + HISTORY.length).slice(0, entries.join().length)
  assert.equal(history, entries.join(), 'its members have one order')
  assert.ok(!isBlank(current.content) || current.userInputMessageContext?.toolResults)
  return {
    id: state.conversationId,
    tools: JSON.stringify(current.userInputMessageContext?.tools),
    fields: JSON.stringify(additionalModelRequestFields),
    history,
    entries,
    current,
    currentEntry: JSON.stringify(withoutTools({ userInputMessage: current }))
  }
}

function withoutTools(entry: HistoryEntry): HistoryEntry {
  if (!('userInputMessage' in entry)) return entry
  const { userInputMessageContext: context, ...message } = entry.userInputMessage
  const toolResults = context?.toolResults
  return {
    userInputMessage: {
      ...message,
      ...(toolResults !== undefined && { userInputMessageContext: { toolResults } })
    }
  }
}
