import t from 'tap'
import {
  CLEARED_RESULT,
  type ContextEdits,
  editContext
} from '../../../src/dialects/anthropic-messages/context-edits.ts'
import { MessagesBodyCheck } from '../../../src/dialects/anthropic-messages/schema.ts'
import { checkShape } from '../../../src/dialects/plan/json-body.ts'
import { convert, refusalOf } from '../../helper/convert.ts'

const TOOLS = 'clear_tool_uses_20250919'
const THINKING = 'clear_thinking_20251015'
const USES = { type: 'tool_uses', value: 0 }
const WORDS = 'word '.repeat(100)

/** Turns of a user's text, thinking, a call of `f` or, each third time, of `g`, its result, and an answer. */
function conversation(turns: number) {
  return Array.from({ length: turns }, (_, at) => [
    { role: 'user', content: `Question ${at}` },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: WORDS, signature: 's' },
        { type: 'tool_use', id: `t${at}`, name: at % 3 === 2 ? 'g' : 'f', input: { at, WORDS } }
      ]
    },
    {
      role: 'user',
      content: [{ type: 'tool_result', tool_use_id: `t${at}`, content: `Result ${at} ${WORDS}` }]
    },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'More.', signature: 's' },
        { type: 'text', text: `Answer ${at}` }
      ]
    }
  ]).flat()
}

/** Counts a word as a token, which shows what is counted. */
const countWords = (text: string): number => text.split(/\s+/).filter((word) => word !== '').length

function edit(edits: ContextEdits, turns = 5) {
  const body = { model: 'auto', messages: conversation(turns), context_management: { edits } }
  const before = JSON.stringify(body)
  const edited = editContext(checkShape(MessagesBodyCheck, body, ''), edits, countWords)
  t.equal(JSON.stringify(body), before, 'what the client sent is not changed')
  const text = JSON.stringify(edited.messages)
  const namesOf = (pattern: RegExp): string =>
    [...text.matchAll(pattern)].map(([, at]) => at).join()
  return {
    applied: edited.applied,
    results: namesOf(/"Result (\d)/g),
    inputs: namesOf(/"input":\{"at":(\d)/g),
    thinking: [...text.matchAll(/"thinking":"/g)].length,
    cleared: text.split(CLEARED_RESULT).length - 1,
    lengths: edited.messages.map(({ content }) => content?.length)
  }
}

t.test('results of the oldest calls are cleared', async (t) => {
  const all = { results: '0,1,2,3,4', inputs: '0,1,2,3,4', cleared: 0 }
  const rows: readonly (readonly [name: string, wish: object, expected: object])[] = [
    ['below the usual trigger nothing is', {}, { ...all, applied: [] }],
    [
      'all but three, by the number of calls',
      { trigger: USES },
      {
        results: '2,3,4',
        inputs: '0,1,2,3,4',
        cleared: 2,
        applied: [{ type: TOOLS, cleared_tool_uses: 2, cleared_input_tokens: 2 * (102 - 10) }]
      }
    ],
    ['a number is not over itself', { trigger: { ...USES, value: 5 } }, { ...all, applied: [] }],
    ['one more is', { trigger: { ...USES, value: 4 } }, { results: '2,3,4', cleared: 2 }],
    ['null is the usual', { trigger: USES, keep: null }, { results: '2,3,4', cleared: 2 }],
    ['none is kept', { trigger: USES, keep: USES }, { results: '', cleared: 5 }],
    ['more are kept than there are', { trigger: USES, keep: { ...USES, value: 9 } }, all],
    [
      'tokens are counted in all that is sent',
      { trigger: { type: 'input_tokens', value: 1500 } },
      { results: '2,3,4', cleared: 2 }
    ],
    [
      'and have to be more',
      { trigger: { type: 'input_tokens', value: 3000 } },
      { ...all, applied: [] }
    ],
    [
      'a tool that is excluded keeps its results',
      { trigger: USES, keep: USES, exclude_tools: ['g'] },
      { results: '2', cleared: 4 }
    ],
    [
      'the least that is to be cleared can be cleared',
      { trigger: USES, clear_at_least: { type: 'input_tokens', value: 184 } },
      { results: '2,3,4' }
    ],
    [
      'less is not worth it',
      { trigger: USES, clear_at_least: { type: 'input_tokens', value: 185 } },
      { ...all, applied: [] }
    ],
    [
      'inputs are cleared, too',
      { trigger: USES, keep: USES, clear_tool_inputs: true },
      { results: '', inputs: '' }
    ],
    [
      'inputs of some tools are cleared',
      { trigger: USES, keep: USES, clear_tool_inputs: ['f'] },
      { results: '', inputs: '2' }
    ]
  ]
  for (const [name, wish, expected] of rows)
    t.hasStrict(edit([{ type: TOOLS, ...wish }]), expected, name)
})

t.test('thinking of older turns is cleared, and its places stay', async (t) => {
  const { lengths } = edit([])
  const rows: readonly (readonly [name: string, keep: unknown, expected: object])[] = [
    [
      'all but the last turn, with all of its messages',
      undefined,
      {
        thinking: 2,
        applied: [{ type: THINKING, cleared_thinking_turns: 4, cleared_input_tokens: 4 * 101 }]
      }
    ],
    ['turns are kept', { type: 'thinking_turns', value: 3 }, { thinking: 6 }],
    ['more than there are', { type: 'thinking_turns', value: 6 }, { thinking: 10, applied: [] }],
    ['all', 'all', { thinking: 10, applied: [] }],
    ['all, said otherwise', { type: 'all' }, { thinking: 10, applied: [] }]
  ]
  for (const [name, keep, expected] of rows) {
    t.hasStrict(
      edit([{ type: THINKING, ...(keep !== undefined && { keep }) }]),
      { ...expected, lengths },
      name
    )
  }
})

t.test('edits come one after the other', async (t) => {
  const both = edit([
    { type: THINKING },
    { type: TOOLS, trigger: { type: 'input_tokens', value: 1500 } }
  ])
  t.hasStrict(both, { thinking: 2, results: '0,1,2,3,4' })
  t.same(
    both.applied.map(({ type }) => type),
    [THINKING]
  )
  t.match(edit([{ type: THINKING }, { type: TOOLS, trigger: USES }]).applied, [
    { type: THINKING },
    { type: TOOLS }
  ])
  t.same(edit([]).applied, [])
  for (const [management, told] of [
    [undefined, undefined],
    [null, undefined],
    [{ edits: null }, undefined],
    [{ edits: [] }, []]
  ] as const) {
    const body = { model: 'auto', messages: conversation(1), context_management: management }
    const { own } = convert('anthropic-messages', body).plan.asked
    t.same((own as { readonly edits?: unknown }).edits, told, JSON.stringify(management))
  }
})

function refused(model: string, edits: unknown): unknown {
  return refusalOf('anthropic-messages', {
    model,
    messages: conversation(1),
    context_management: { edits }
  })
}

t.test('edits that cannot be done are declined in the words that clients look for', async (t) => {
  const claudeCode =
    /^\S{1,128} does not support the \W?compact_20260112\W? context management strategy/
  for (const model of ['claude-opus-5.5', `with a space ${'x'.repeat(200)}`]) {
    t.match(refused(model, [{ type: 'compact_20260112' }]), {
      status: 400,
      message: claudeCode,
      param: 'context_management.edits[0].type'
    })
  }
  t.match(refused('auto', [{ type: TOOLS }, { type: TOOLS }]), {
    message: /edits\[1\].type: must not/
  })
  t.match(refused('auto', [{ type: TOOLS, trigger: { type: 'tool_uses' } }]), {
    message: 'context_management.edits[0].trigger.value: is required'
  })
  t.match(refused('auto', [{ type: THINKING, keep: { type: 'thinking_turns', value: 0 } }]), {
    message: /context_management\.edits\[0\]\.keep/
  })
})

t.test('a call keeps its pair at the upstream', async (t) => {
  const { history, current } = convert('anthropic-messages', {
    model: 'auto',
    messages: conversation(3).slice(0, -1),
    tools: ['f', 'g'].map((name) => ({ name, input_schema: { type: 'object' } })),
    context_management: { edits: [{ type: TOOLS, trigger: USES, keep: { ...USES, value: 1 } }] }
  })
  const text = JSON.stringify(history)
  t.equal(text.split(CLEARED_RESULT).length - 1, 2)
  t.match(text, /"toolUseId":"t0".*"toolUseId":"t0"/)
  t.match(JSON.stringify(current), /Result 2/)
})

t.test('time grows with the conversation alone', async (t) => {
  const secondsFor = (turns: number): number => {
    const body = {
      model: 'auto',
      messages: conversation(turns),
      context_management: { edits: [{ type: THINKING }, { type: TOOLS, clear_tool_inputs: true }] }
    }
    const checked = checkShape(MessagesBodyCheck, body, '')
    const from = process.cpuUsage()
    const { edits = null } = checked.context_management ?? {}
    const { applied } = editContext(checked, edits ?? [], (text) => text.length)
    const { user } = process.cpuUsage(from)
    t.equal(applied.length, 2)
    return user / 1e6
  }
  secondsFor(1000)
  const [small, large] = [secondsFor(1000), secondsFor(8000)]
  t.ok(large < 0.02 + 24 * small, `${large} s for eight times of ${small} s`)
})
