import t from 'tap'
import { safeguardTypesOf } from '../../../src/dialects/anthropic-messages/answer.ts'
import { readAnthropicStream } from '../../helper/anthropic-grammar.ts'
import { convert } from '../../helper/convert.ts'
import { collect, readParts, translate } from '../../helper/read-answer.ts'
import { createCollector, createTranslator } from '../../helper/reply-plan.ts'
import { closing, text, tool } from '../../helper/upstream-events.ts'

const identity = { id: 'msg_1', created: 1, now: () => 2 }
const events = [
  text('Looking.'),
  tool('t1', 'Bash', { input: '{"command":"rm -rf /"}', stop: true }),
  ...closing()
]

function planOf(safeguards: unknown) {
  return convert('anthropic-messages', {
    model: 'claude-sonnet-5',
    max_tokens: 100,
    messages: [{ role: 'user', content: 'hi' }],
    ...(safeguards !== undefined && { safeguards })
  }).plan
}

t.test('a safety verdict that a client asks for', async (t) => {
  const asked = [{ type: 'dangerous_tool_use', classifier_context: { cwd: '/' } }]
  const answered = [{ type: 'dangerous_tool_use', status: { type: 'unsupported' } }]

  t.test('is answered as unsupported in a stream, beside the stop reason', async (t) => {
    const plan = planOf(asked)
    const stream = translate(createTranslator(plan, identity), readParts(plan, events))
    t.same(readAnthropicStream(stream).delta, {
      stop_reason: 'tool_use',
      stop_sequence: null,
      stop_details: null,
      container: null,
      safeguard_results: answered
    })
    t.notMatch(stream, /flagged|evaluated|available"/)
  })

  t.test('is answered as unsupported in one piece', async (t) => {
    const plan = planOf(asked)
    const message = collect(createCollector(plan, identity), readParts(plan, events))
    t.match(message, { stop_reason: 'tool_use', safeguard_results: answered })
  })

  t.test('changes nothing of what the model is asked', async (t) => {
    const bare = convert('anthropic-messages', {
      model: 'auto',
      messages: [{ role: 'user', content: 'hi' }],
      metadata: { user_id: 'u' }
    })
    const safe = convert('anthropic-messages', {
      model: 'auto',
      messages: [{ role: 'user', content: 'hi' }],
      metadata: { user_id: 'u' },
      safeguards: asked
    })
    t.same(safe.payload, bare.payload)
    t.same(safe.plan.repairs, [])
  })

  t.test('is not mentioned to who has not asked', async (t) => {
    for (const none of [undefined, null, [], {}, 'dangerous_tool_use', [null, 1, {}]]) {
      const plan = planOf(none)
      t.notOk('safeguards' in plan)
      const stream = translate(createTranslator(plan, identity), readParts(plan, events))
      t.notMatch(stream, /safeguard/)
      const message = collect(createCollector(plan, identity), readParts(plan, events))
      t.notOk('safeguard_results' in (message as object))
    }
  })
})

t.test('safeguardTypesOf()', async (t) => {
  t.test('names each kind once, at most sixteen of at most a hundred characters', async (t) => {
    const many = Array.from({ length: 40 }, (_, index) => ({ type: `kind_${index % 20}` }))
    t.equal(safeguardTypesOf(many).length, 16)
    t.same(safeguardTypesOf([{ type: 'a' }, { type: 'b' }, { type: 'a' }]), ['a', 'b'])
    t.same(safeguardTypesOf([{ type: 'x'.repeat(100) }]), ['x'.repeat(100)])
    t.same(safeguardTypesOf([{ type: 'x'.repeat(101) }]), [])
  })
})
