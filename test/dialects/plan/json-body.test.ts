import t from 'tap'
import { MAX_JSON_DEPTH, parseJsonBody } from '../../../src/dialects/plan/json-body.ts'
import { convert } from '../../helper/convert.ts'
import { cpuMs } from '../../helper/cost.ts'

t.test('parseJsonBody()', async (t) => {
  t.test('takes what is nested as deep as allowed and no deeper, small or large', async (t) => {
    for (const padding of ['', ' '.repeat(1_100_000)]) {
      const inner = MAX_JSON_DEPTH - 1
      const nested = (levels: number) =>
        `${padding}{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`
      t.ok(parseJsonBody(Buffer.from(nested(inner))))
      t.throws(() => parseJsonBody(Buffer.from(nested(inner + 1))), {
        code: 'GW_BODY_INVALID',
        message: /deeper than 256 levels/
      })
    }
  })

  t.test('survives 32 MB of brackets, in no time', async (t) => {
    const half = 16 * 1024 * 1024
    for (const text of ['['.repeat(half) + ']'.repeat(half), '{"a":'.repeat(half / 2)]) {
      const body = Buffer.from(text)
      const tookMs = cpuMs(() => {
        t.throws(() => parseJsonBody(body), { code: 'GW_BODY_INVALID' })
      })
      t.ok(tookMs < 3000, `${tookMs} ms of CPU`)
    }
  })

  t.test('takes a byte order mark and broken UTF-8', async (t) => {
    t.same(parseJsonBody(Buffer.from('\ufeff{"a":1}')), { a: 1 })
    t.same(parseJsonBody(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), { '\ufffd': 1 })
  })

  t.test('reads the part of a larger buffer that it was given', async (t) => {
    const all = Buffer.from('xx{"a":1}yy')
    t.same(parseJsonBody(new Uint8Array(all.buffer, all.byteOffset + 2, 7)), { a: 1 })
  })
})

t.test('hostile members are data', async (t) => {
  const request = `{"model":"auto","__proto__":{"stream":true},"constructor":{"prototype":{"a":1}},
    "tools":[{"name":"__proto__","description":"d","input_schema":{"type":"object","properties":{"__proto__":{"type":"string"}}}}],
    "messages":[{"role":"user","content":"hi"},
      {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"__proto__","input":{"__proto__":{"polluted":1}}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"x"}]}]}`
  const { plan, history, tools } = convert('anthropic-messages', request)
  t.equal(plan.asked.isStream, false)
  t.equal(Reflect.get({}, 'polluted'), undefined)
  t.equal(tools[0]?.name, 't___proto__')
  t.equal(plan.toolNames['t___proto__'], '__proto__')
  t.match(JSON.stringify(tools[0]), /"properties":\{"__proto__":\{"type":"string"\}\}/)
  t.match(JSON.stringify(history[1]), /"input":\{"__proto__":\{"polluted":1\}\}/)
})

t.test(
  'half a surrogate pair becomes U+FFFD, and text that looks like its escape stays',
  async (t) => {
    const request = String.raw`{"model":"auto","messages":[{"role":"user","content":"cut \ud83d, whole \ud83c\udf89, \\ud83d text"}]}`
    const { current, plan } = convert('openai-chat', request)
    t.equal(current.content, 'cut \ufffd, whole 🎉, \\ud83d text')
    t.same(plan.repairs, ['surrogate-replaced'])
  }
)

t.test('large hostile bodies take time in proportion to their size', async (t) => {
  const bodies = {
    'many empty messages': `{"model":"auto","messages":[${many(50_000, '{"role":"user"}')}]}`,
    'many alternating messages': `{"model":"auto","messages":[${many(20_000, '{"role":"user","content":"a"},{"role":"assistant","content":"b"}')}]}`,
    'many orphan results': `{"model":"auto","tools":[{"name":"f"}],"messages":[${many(20_000, '{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"y"}]}')}]}`,
    'many tools of one name': `{"model":"auto","messages":[{"role":"user"}],"tools":[${many(20_000, '{"name":"f"}')}]}`,
    'many white spaces': `{"model":"auto","messages":[{"role":"user","content":"${' '.repeat(2_000_000)}"}]}`
  }
  for (const [name, body] of Object.entries(bodies)) {
    const tookMs = cpuMs(() => t.ok(convert('anthropic-messages', body), name))
    t.ok(tookMs < 3000, `${name}: ${tookMs} ms of CPU`)
  }
})

function many(count: number, item: string): string {
  return Array.from({ length: count }, () => item).join(',')
}
