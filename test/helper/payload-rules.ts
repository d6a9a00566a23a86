import assert from 'node:assert/strict'
import type { UpstreamPayload, UserInputMessage } from '../../src/kiro/wire/payload.ts'

const TOOL_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/
const TOOL_ID = /^[A-Za-z0-9_-]{1,64}$/

/** Throws unless the upstream would take a payload: H1–H8 of kiro-protocol §4.7, §4.9, §4.10 and no empty keys. */
export function assertUpstreamRules(payload: UpstreamPayload): void {
  const { history = [], currentMessage } = payload.conversationState
  const turns = [...history, currentMessage]
  const tools = currentMessage.userInputMessage.userInputMessageContext?.tools ?? []
  const toolNames = tools.map(({ toolSpecification }) => toolSpecification.name)
  assert.equal(new Set(toolNames).size, toolNames.length, 'duplicate tool')
  for (const { toolSpecification } of tools) {
    assert.match(toolSpecification.name, TOOL_NAME)
    assert.notEqual(toolSpecification.description.trim(), '')
    assertRootSchema(toolSpecification.inputSchema.json)
  }
  let calls: string[] = []
  for (const [index, turn] of turns.entries()) {
    const isCurrent = index === turns.length - 1
    if ('userInputMessage' in turn) {
      assert.equal(index % 2, 0, 'H1, H2, H3: turns alternate and the user has the first and last')
      assertUserTurn(turn.userInputMessage, calls, isCurrent)
      calls = []
      continue
    }
    assert.equal(index % 2, 1, 'H1, H2, H3: turns alternate and the user has the first and last')
    const { content, toolUses = [] } = turn.assistantResponseMessage
    assert.notEqual(content, '')
    calls = toolUses.map(({ toolUseId }) => toolUseId)
    assert.equal(new Set(calls).size, calls.length, 'H8: duplicate call')
    for (const { toolUseId, name, input } of toolUses) {
      assert.match(toolUseId, TOOL_ID)
      assert.ok(toolNames.includes(name), 'H6, H7: a call of a tool that is not on offer')
      assert.ok(typeof input === 'object' && input !== null && !Array.isArray(input))
    }
  }
  const images = turns.flatMap((turn) =>
    'userInputMessage' in turn ? (turn.userInputMessage.images ?? []) : []
  )
  assert.ok(images.length <= 10, 'too many images')
  assertNothingEmpty(payload)
}

function assertUserTurn(
  { content, userInputMessageContext }: UserInputMessage,
  calls: readonly string[],
  isCurrent: boolean
): void {
  if (isCurrent) assert.notEqual(content.trim(), '', 'the current message is blank')
  else assert.ok(userInputMessageContext?.tools === undefined, 'tools in the history')
  assert.notEqual(content, '')
  const results = userInputMessageContext?.toolResults ?? []
  const ids = results.map(({ toolUseId }) => toolUseId)
  assert.equal(new Set(ids).size, ids.length, 'H8: duplicate result')
  assert.deepEqual([...ids].toSorted(), [...calls].toSorted(), 'H4, H5: calls and results pair up')
  for (const { content: parts } of results) assert.notEqual(parts[0].text.trim(), '')
}

function assertRootSchema(schema: Readonly<Record<string, unknown>>): void {
  assert.equal(schema['type'], 'object')
  assert.ok(typeof schema['properties'] === 'object' && schema['properties'] !== null)
  for (const key of ['oneOf', 'anyOf', 'allOf', '$ref', '$defs', 'additionalProperties']) {
    assert.ok(!Object.hasOwn(schema, key), key)
  }
}

function assertNothingEmpty({ conversationState }: UpstreamPayload): void {
  assert.notDeepEqual(conversationState.history, [])
  const { currentMessage, history = [] } = conversationState
  for (const turn of [...history, currentMessage]) {
    const [message] = Object.values(turn)
    assert.notDeepEqual(message.toolUses, [])
    assert.notDeepEqual(message.images, [])
    assert.notDeepEqual(message.userInputMessageContext, {})
    assert.notDeepEqual(message.userInputMessageContext?.tools, [])
    assert.notDeepEqual(message.userInputMessageContext?.toolResults, [])
  }
}
