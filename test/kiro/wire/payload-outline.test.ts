import t from 'tap'
import { outlineOf } from '../../../src/kiro/wire/payload.ts'
import { anything, assert, property } from '../../helper/fast-check.ts'

t.test('outlineOf()', async (t) => {
  t.test('keeps how a request is built and nothing of what was written', async (t) => {
    const payload = {
      conversationState: {
        conversationId: 'c-1',
        chatTriggerType: 'MANUAL',
        history: [
          { userInputMessage: { content: 'my secret', modelId: 'auto', origin: 'AI_EDITOR' } },
          {
            assistantResponseMessage: {
              content: ' ',
              toolUses: [{ toolUseId: 't1', name: 'run', input: { cmd: 'rm -r', n: 51234 } }]
            }
          }
        ],
        currentMessage: {
          userInputMessage: {
            content: '',
            images: [{ format: 'png', source: { bytes: 'aGFsbG8=' } }],
            userInputMessageContext: {
              tools: [
                {
                  toolSpecification: {
                    name: 'run',
                    description: 'Runs my secret',
                    inputSchema: {
                      json: {
                        type: 'object',
                        properties: {
                          cmd: {
                            type: ['string', 'null'],
                            description: 'secret',
                            default: 'secret'
                          }
                        },
                        required: ['cmd']
                      }
                    }
                  }
                }
              ],
              toolResults: [{ toolUseId: 't1', content: [{ text: 'secret' }], status: 'success' }]
            }
          }
        }
      }
    }
    const outline = JSON.stringify(outlineOf(payload))
    t.notMatch(outline, /secret|rm -r|aGFs|51234/)
    t.match(outlineOf(payload), {
      conversationState: {
        conversationId: 'c-1',
        history: [
          { userInputMessage: { content: '‹9 characters›', modelId: 'auto' } },
          {
            assistantResponseMessage: {
              content: '‹1 characters, all white space›',
              toolUses: [
                { toolUseId: 't1', name: 'run', input: { cmd: '‹5 characters›', n: '‹number›' } }
              ]
            }
          }
        ],
        currentMessage: {
          userInputMessage: {
            content: '',
            userInputMessageContext: {
              tools: [
                {
                  toolSpecification: {
                    inputSchema: {
                      json: { properties: { cmd: { type: ['string', 'null'] } }, required: ['cmd'] }
                    }
                  }
                }
              ],
              toolResults: [{ status: 'success' }]
            }
          }
        }
      }
    })
  })

  t.test('keeps no long text under the name of a structure', async (t) => {
    t.same(outlineOf({ name: 'x'.repeat(129), ['k'.repeat(65)]: 1 }), {
      name: '‹129 characters›',
      'key 2: ‹65 characters›': 1
    })
  })

  t.test('keeps no text of arguments and defaults, whatever its name', async (t) => {
    const words = {
      name: 'secret',
      status: 'secret',
      nested: [{ format: 'secret', 'a secret': true }]
    }
    const tool = {
      name: 'run',
      inputSchema: { json: { default: words, properties: { input: { type: 'string' } } } }
    }
    const outline = JSON.stringify(outlineOf({ toolUses: [{ name: 'run', input: words }], tool }))
    t.notMatch(outline, 'secret')
    t.match(outline, '"input":{"type":"string"}', 'a property of that name is no arguments')
    t.equal(outline.split('"name":"run"').length, 3)
  })

  t.test('takes anything', async () => {
    assert(
      property(
        anything(),
        (value) =>
          void JSON.stringify(outlineOf(value), (_, item) => (typeof item === 'bigint' ? 0 : item))
      )
    )
  })
})
