import assert from 'node:assert/strict'
import t from 'tap'
import { convertRequest } from '../../../src/dialects/dialect.ts'
import { lintRequest } from '../../../src/dialects/lint/lint-request.ts'
import { resolvePointer } from '../../../src/shared/json.ts'
import * as fc from '../../helper/fast-check.ts'
import { hostileRequests } from '../../helper/hostile-requests.ts'
import { isNightly } from '../../helper/nightly.ts'
import { requestOptions, simulatorOptions } from '../../helper/request-options.ts'

t.setTimeout(300_000) // thousands of cases, on a machine that may be busy

const options = simulatorOptions()

function lint(body: unknown, dialect?: Parameters<typeof convertRequest>[0]) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return lintRequest(Buffer.from(text), { dialect, request: options })
}

function call(id: string, name: string, args: string) {
  return { id, type: 'function', function: { name, arguments: args } }
}

/** Severity, rule and pointer of all findings. */
function told(body: unknown): readonly string[] {
  return lint(body).findings.map(({ severity, rule, pointer }) => `${severity} ${rule} ${pointer}`)
}

t.test('lintRequest()', async (t) => {
  t.test('finds every refusal, whatever it is about, and repairs beside them', async (t) => {
    const body = {
      model: 'llama-7',
      max_tokens: 'many',
      system: [{ type: 'text' }, { type: 'text', text: 'Be brief.' }],
      messages: [
        { role: 'assistant', content: 'hi' },
        {
          role: 'user',
          content: [
            { type: 'audio' },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: '%' } },
            { type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 5 }] }
          ]
        },
        { role: 5, content: 'hi' }
      ],
      tools: [{ name: 7 }, { name: 'a.b', description: 'A', input_schema: { anyOf: [{}] } }],
      tool_choice: { type: 'tool' },
      stop_sequences: ['a', 7]
    }
    t.same(told(body).toSorted(), [
      'refused content-text /messages/1/content/0',
      'refused image-bytes /messages/1/content/1/source',
      'refused model-known /model',
      'refused request-shape /max_tokens',
      'refused request-shape /messages/1/content/2/content/0/text',
      'refused request-shape /messages/2/role',
      'refused request-shape /stop_sequences/1',
      'refused request-shape /system/0/text',
      'refused request-shape /tool_choice/name',
      'refused request-shape /tools/0/name',
      'repaired first-turn /messages/0',
      'repaired result-call /messages/1/content/2',
      'repaired tool-name /tools/1',
      'repaired tool-schema-root /tools/1/input_schema/anyOf',
      'repaired tool-schema-type /tools/1/input_schema'
    ])
  })

  t.test('points to calls, results and tools of Chat Completions', async (t) => {
    const body = {
      model: 'auto',
      reasoning_effort: 'ludicrous',
      messages: [
        { role: 'user', content: 'go' },
        { role: 'assistant', tool_calls: [call('a', 'f', '{}'), call('b', 'f', '{"cut": "o')] },
        { role: 'tool', tool_call_id: 'a', content: 'ok' },
        { role: 'user', content: 'on' },
        { role: 'tool', tool_call_id: 'z', content: 'late' }
      ],
      tools: [
        { type: 'function', function: { name: 'f', parameters: { additionalProperties: false } } },
        { type: 'code_interpreter' }
      ],
      functions: [{ name: 'g.h', description: 'G' }]
    }
    t.same(told(body).toSorted(), [
      'repaired call-result /messages/1/tool_calls/1',
      'repaired model-fields /reasoning_effort',
      'repaired result-call /messages/4',
      'repaired tool-description /tools/0/function',
      'repaired tool-function /tools/1',
      'repaired tool-input /messages/1/tool_calls/1',
      'repaired tool-name /functions/0',
      'repaired tool-schema-keywords /tools/0/function/parameters/additionalProperties',
      'repaired tool-schema-type /tools/0/function/parameters'
    ])
  })

  t.test('points to items of Responses', async (t) => {
    const body = {
      model: 'auto',
      input: [
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'go' }] },
        { type: 'function_call_output', call_id: 'z', output: 'orphan' },
        { type: 'function_call', call_id: 'a', name: 'f', arguments: '[1]' }
      ],
      tools: [{ type: 'function', name: 'f', parameters: { type: 'object', properties: {} } }]
    }
    t.same(told(body).toSorted(), [
      'repaired call-result /input/2',
      'repaired last-turn /input/2',
      'repaired result-call /input/1',
      'repaired tool-description /tools/0',
      'repaired tool-input /input/2'
    ])
  })

  t.test('reads nothing from the web, and says so', async (t) => {
    const source = { type: 'url', url: 'https://example.com/cat.png' }
    const content = [{ type: 'image', source }, { type: 'image' }]
    const body = { model: 'auto', system: '', messages: [{ role: 'user', content }] }
    t.same(told(body), [
      'refused request-shape /messages/0/content/1/source',
      'borderline content-text /messages/0/content/0'
    ])
  })

  t.test('finds half a character wherever it is', async (t) => {
    const messages = [{ role: 'user', content: [{ type: 'text', text: 'a\ud800b' }] }]
    t.same(told({ model: 'auto', messages }), ['repaired text-unicode /messages/0/content/0/text'])
  })

  t.test('gives up where there is no way past a refusal', async (t) => {
    for (const body of ['', 'null', '[]', '"text"', `${'['.repeat(300)}${']'.repeat(300)}`]) {
      t.match(lint(body), { ok: false, dialect: 'unknown', findings: [{ pointer: '' }] }, body)
    }
    t.same(told({}), ['refused request-shape /model', 'refused request-shape /messages'])
    const many = { model: 'auto', messages: Array.from({ length: 50 }, () => ({ role: 1 })) }
    t.equal(lint(many).findings.filter(({ severity }) => severity === 'refused').length, 20)
  })

  t.test('is for people as much as for programs', async (t) => {
    const { findings } = lintRequest(
      Buffer.from(JSON.stringify({ model: 'new', messages: [{ role: 'user', content: 'hi' }] })),
      { request: requestOptions() }
    )
    t.same(findings, [
      {
        rule: 'model-known',
        severity: 'borderline',
        pointer: '/model',
        message: 'The model new is not in the list; only the upstream can tell whether it exists.',
        fix: 'Name a model that GET /v1/models lists.'
      }
    ])
  })
})

for (const [dialect, body] of hostileRequests) {
  t.test(`any ${dialect} request is explained as it is converted`, async () => {
    fc.assert(
      fc.property(body, (request) => {
        const report = lint(request, dialect)
        const { plan } = convertRequest(dialect, Buffer.from(JSON.stringify(request)), options)
        assert.equal(report.ok, true)
        assert.equal(report.dialect, dialect)
        const codes = report.findings.flatMap(({ code }) => code ?? [])
        assert.deepEqual(new Set(codes), new Set(plan.repairs))
        for (const { pointer, rule } of report.findings) {
          assert.notEqual(resolvePointer(request, pointer), undefined, `${rule} ${pointer}`)
          // Half a character may hide in the text of a call's arguments, where it is still an escape.
          const isOfAll = rule === 'image-count' || rule === 'text-unicode' || !hasTurns(request)
          if (!isOfAll) assert.notEqual(pointer, '', rule)
        }
      }),
      { numRuns: isNightly ? 2000 : 200 }
    )
  })
}

/** A request of nothing but system text has no turn to point at. */
function hasTurns(request: object): boolean {
  const { messages } = request as { readonly messages: readonly { readonly role: string }[] }
  return messages.some(({ role }) => role !== 'system' && role !== 'developer')
}
