import t from 'tap'
import { trimHistory } from '../../../src/kiro/conversation/change.ts'
import { countRequest, sumOfGroups } from '../../../src/kiro/tokens/request-tokens.ts'
import type {
  HistoryEntry,
  UpstreamPayload,
  UserInputMessage
} from '../../../src/kiro/wire/payload.ts'
import { checkRequest } from '../../strict-simulator/request-rules.ts'
import {
  array,
  assert,
  boolean,
  integer,
  property,
  record,
  string
} from '../../helper/fast-check.ts'

const sizeOf = (payload: UpstreamPayload): number => JSON.stringify(payload).length

interface Turn {
  readonly said: string
  readonly result: string
  readonly hasCall: boolean
}

function message(
  content: string,
  results: readonly [id: string, text: string][]
): UserInputMessage {
  const toolResults = results.map(([toolUseId, text]) => ({
    toolUseId,
    content: [{ text }] as const,
    status: 'success' as const
  }))
  return {
    content,
    modelId: 'claude-haiku-4.5',
    origin: 'AI_EDITOR',
    ...(toolResults.length > 0 && { userInputMessageContext: { toolResults } })
  }
}

/** Turn by turn: the model calls a tool or not, the user answers with its result or not. */
function conversation(turns: readonly Turn[]): UpstreamPayload {
  const history: HistoryEntry[] = []
  let results: readonly [string, string][] = []
  turns.forEach(({ said, result, hasCall }, index) => {
    history.push({ userInputMessage: message(`turn ${index}: ${said}`, results) })
    const toolUses = [{ toolUseId: `t${index}`, name: 'run', input: { said } }]
    history.push({ assistantResponseMessage: { content: 'ok', ...(hasCall && { toolUses }) } })
    results = hasCall ? [[`t${index}`, result.trim() === '' ? '(empty result)' : result]] : []
  })
  const current = message('now', results)
  const tools = [
    {
      toolSpecification: {
        name: 'run',
        description: 'Runs.',
        inputSchema: { json: { type: 'object', properties: {} } }
      }
    }
  ]
  return {
    conversationState: {
      conversationId: '0b1c9a1e-5b1f-4a39-9d57-1b1e8f5f3f10',
      chatTriggerType: 'MANUAL',
      ...(history.length > 0 && { history }),
      currentMessage: {
        userInputMessage: {
          ...current,
          userInputMessageContext: { ...current.userInputMessageContext, tools }
        }
      }
    }
  }
}

t.test('trimHistory()', async (t) => {
  const turns = Array.from({ length: 20 }, () => ({
    said: 'x'.repeat(500),
    result: 'y'.repeat(500),
    hasCall: true
  }))

  t.test('leaves alone what fits', async (t) => {
    const payload = conversation(turns)
    t.equal(trimHistory(payload, sizeOf(payload) + 200), payload)
  })

  t.test('leaves out the oldest, but not the first turn and not the last', async (t) => {
    const payload = conversation(turns)
    const trimmed = trimHistory(payload, sizeOf(payload) / 2)
    const { history = [] } = trimmed!.conversationState
    t.ok(history.length < 24 && history.length > 16)
    t.match(history[0], {
      userInputMessage: { content: /^turn 0: x+\n\n\[Earlier messages were left out/ }
    })
    t.same(history.at(-1), payload.conversationState.history?.at(-1))
    t.same(trimmed!.conversationState.currentMessage, payload.conversationState.currentMessage)
  })

  t.test('cuts the middle of a text where nothing else is left', async (t) => {
    const payload = conversation([
      { said: 'x', result: `head${'y'.repeat(100_000)}tail`, hasCall: true }
    ])
    const trimmed = trimHistory(payload, 20_000)
    const { toolResults } =
      trimmed!.conversationState.currentMessage.userInputMessage.userInputMessageContext!
    t.match(toolResults![0]!.content[0].text, /^heady+\n\[\d+ characters left out\]\ny+tail$/)
  })

  t.test('gives up where tools and calls alone are too much', async (t) => {
    t.equal(trimHistory(conversation(turns), 500), null)
  })

  t.test('always gives what the upstream takes', async () => {
    const turn = record({
      said: string({ maxLength: 3000 }),
      result: string({ maxLength: 3000 }),
      hasCall: boolean()
    })
    assert(
      property(
        array(turn, { maxLength: 12 }),
        integer({ min: 1000, max: 40_000 }),
        (list, maxChars) => {
          const trimmed = trimHistory(conversation(list), maxChars)
          if (trimmed === null) return
          if (sizeOf(trimmed) > maxChars) throw new Error('too large')
          const verdict = checkRequest(JSON.parse(JSON.stringify(trimmed)))
          if ('status' in verdict) throw new Error(verdict.violation)
        }
      ),
      { numRuns: 1000 }
    )
  })
})

function withImage(content: string, byte: number): UserInputMessage {
  const bytes = Buffer.alloc(60_000, byte).toString('base64')
  return { ...message(content, []), images: [{ format: 'png', source: { bytes } }] }
}

t.test('images of a trimmed conversation are not counted as text', async (t) => {
  const payload: UpstreamPayload = {
    conversationState: {
      conversationId: '0b1c9a1e-5b1f-4a39-9d57-1b1e8f5f3f10',
      chatTriggerType: 'MANUAL',
      history: [
        { userInputMessage: withImage('first', 1) },
        { assistantResponseMessage: { content: 'seen' } },
        { userInputMessage: message('word '.repeat(10_000), []) },
        { assistantResponseMessage: { content: 'ok' } },
        { userInputMessage: message('go on', []) },
        { assistantResponseMessage: { content: 'done' } }
      ],
      currentMessage: { userInputMessage: withImage('now', 2) }
    }
  }
  const trimmed = trimHistory(payload, sizeOf(payload) - 1000)
  if (trimmed === null) throw new Error('it fits')
  t.equal(trimmed.conversationState.history?.length, 4)
  const { tokens } = countRequest(trimmed, Buffer.from(JSON.stringify(trimmed)))
  t.ok(sumOfGroups(tokens) < 4_000, String(sumOfGroups(tokens)))
})
