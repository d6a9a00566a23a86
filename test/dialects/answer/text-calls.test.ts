import { ok } from 'node:assert/strict'
import t from 'tap'
import { ENDLESS_ROOM } from '../../../src/dialects/answer/output-text.ts'
import { parseTextCalls, TextCalls } from '../../../src/dialects/answer/text-calls.ts'
import { textCallFormsOf } from '../../../src/dialects/plan/plan.ts'
import { array, assert, nat, property, string } from '../../helper/fast-check.ts'
import { cutAt } from '../../helper/upstream-events.ts'

const forms = textCallFormsOf({
  conversationState: {
    conversationId: '',
    chatTriggerType: 'MANUAL',
    currentMessage: {
      userInputMessage: {
        content: 'x',
        modelId: 'm',
        origin: 'AI_EDITOR',
        userInputMessageContext: {
          tools: [
            {
              toolSpecification: {
                name: 'run',
                description: 'd',
                inputSchema: {
                  json: {
                    type: 'object',
                    properties: {
                      cmd: { type: 'string' },
                      note: { type: ['string', 'null'] },
                      n: { type: 'integer' },
                      any: {}
                    },
                    required: ['cmd']
                  }
                }
              }
            }
          ]
        }
      }
    }
  }
})

t.test('textCallFormsOf()', async (t) => {
  t.same(forms, {
    run: { parameters: { cmd: 'text', note: 'text', n: 'json', any: 'json' }, required: ['cmd'] }
  })
})

t.test('parseTextCalls()', async (t) => {
  const accepted: readonly [text: string, ...json: readonly string[]][] = [
    ['[Called run with args: {"cmd":"ls"}]', '{"cmd":"ls"}'],
    ['[Called run with args: {"cmd":"}]\\"{"}]\n', '{"cmd":"}]\\"{"}'],
    ['[Called run with args: {}]\n[Called run with args: {"n":1}]', '{}', '{"n":1}'],
    ['<invoke name="run"><parameter name="cmd">ls -l</parameter></invoke>', '{"cmd":"ls -l"}'],
    [
      '<function_calls>\n<invoke name="run">\n<parameter name="cmd">\n a<b\n</parameter>\n' +
        '<parameter name="n">1</parameter>\n</invoke>\n</function_calls>',
      '{"cmd":"\\n a<b\\n","n":1}'
    ],
    [
      '<invoke name="run"><parameter name="cmd">5</parameter><parameter name="any">[5]</parameter></invoke>',
      '{"cmd":"5","any":[5]}'
    ]
  ]
  for (const [text, ...json] of accepted) {
    t.same(
      parseTextCalls(text, forms)?.map((call) => call.json),
      json,
      text
    )
  }
  const refused: readonly string[] = [
    '',
    'text',
    '[Called other with args: {}]',
    '[Called toString with args: {}]',
    '[Called run with args: {"cmd":"ls",}]',
    '[Called run with args: {"cmd":"ls"}',
    '[Called run with args: []]',
    '[Called run with args: {"cmd":"ls"}] and so on',
    '<invoke name="run"></invoke>',
    '<invoke name="run"><parameter name="cmd">ls</parameter>',
    '<invoke name="run"><parameter name="cmd">ls</invoke>',
    '<invoke name="run"><parameter name="other">x</parameter><parameter name="cmd">ls</parameter></invoke>',
    '<invoke name="run"><parameter name="cmd">a</parameter><parameter name="cmd">b</parameter></invoke>',
    '<invoke name="run"><parameter name="cmd">a</parameter><parameter name="n">x</parameter></invoke>',
    '<function_calls></function_calls>',
    '<invoke name="other"><parameter name="cmd">a</parameter></invoke>'
  ]
  for (const text of refused) t.equal(parseTextCalls(text, forms), null, text)
})

function read(pieces: readonly string[]) {
  const calls = new TextCalls(forms, ENDLESS_ROOM)
  let passed = ''
  for (const piece of pieces) passed += calls.push(piece)
  const found = calls.takeCalls()
  return { passed, text: passed + calls.release(), found }
}

t.test('TextCalls', async (t) => {
  t.test('passes what cannot be a call at once', async (t) => {
    const kept = [
      'a [Called run with args: {}]',
      'list[0] < 5\n',
      '<invoke name="other">\n',
      '[Calling'
    ]
    for (const text of kept) t.equal(read([text]).passed, text)
  })

  t.test('passes a call behind words of its line, though they came before it', async (t) => {
    const stage = new TextCalls(forms, ENDLESS_ROOM)
    const call = '[Called run with args: {"cmd":"ls"}]'
    t.equal(stage.push('I said: '), 'I said: ')
    t.equal(stage.push(call), call)
    t.same(stage.takeCalls(), [])
  })

  t.test('gives up a text that grows too long for a call', async (t) => {
    const calls = new TextCalls(forms, ENDLESS_ROOM)
    t.equal(calls.push('[Called run with args: {"cmd":"'), '')
    const long = 'x'.repeat(256 * 1024)
    t.ok(calls.push(long).endsWith(long))
    t.equal(calls.push('\n[Called run'), '\n[Called run', 'and looks for no other')
  })

  t.test('loses nothing, however the text is cut', async () => {
    const beginnings = [
      '',
      'x\n',
      ' \t[Called run with args: {"cmd":1',
      '<invoke name="run">',
      '\n<function'
    ]
    assert(
      property(
        array(string({ maxLength: 12 }), { maxLength: 4 }),
        nat(beginnings.length - 1),
        array(nat(), { maxLength: 6 }),
        (words, index, cuts) => {
          const whole = words.join('\n') + (beginnings[index] ?? '') + (words[0] ?? '')
          const { text, found } = read(cutAt(whole, cuts))
          ok(found.length > 0 || text === whole)
        }
      )
    )
  })
})
