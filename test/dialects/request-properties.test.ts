import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import t from 'tap'
import { convertRequest } from '../../src/dialects/convert-request.ts'
import type { DialectName } from '../../src/dialects/reply-plan.ts'
import type { UpstreamPayload } from '../../src/kiro/payload.ts'
import { RepairTable } from '../../src/kiro/repair-table.ts'
import { checkRequest } from '../../src/simulator/request-rules.ts'
import { hostileRequests, MARKER } from '../helper/hostile-requests.ts'
import { assertUpstreamRules } from '../helper/payload-rules.ts'
import { simulatorOptions } from '../helper/request-options.ts'

t.setTimeout(240_000) // tens of thousands of cases, on a machine that may be busy

const RUNS = 20_000
const options = simulatorOptions()

for (const [dialect, body] of hostileRequests) {
  t.test(`any ${dialect} conversation`, async (t) => {
    t.test('becomes a payload that the upstream takes, without losing text', async () => {
      fc.assert(
        fc.property(body, (request) => {
          const { json, payload, repairs } = convert(dialect, request)
          assertUpstreamRules(payload)
          const verdict = checkRequest(payload)
          assert.ok(!('status' in verdict), JSON.stringify(verdict))
          const isOffer = !/"tool_choice":("none"|\{"type":"none"\})/.test(JSON.stringify(request))
          for (const marker of markersOf(request, isOffer)) assert.ok(json.includes(marker), marker)
          for (const code of repairs) assert.ok(Object.hasOwn(RepairTable, code), code)
        }),
        { numRuns: RUNS }
      )
    })

    t.test('always becomes the same payload, so that caches can find it', async () => {
      fc.assert(
        fc.property(body, (request) => {
          const [first, second] = [convert(dialect, request), convert(dialect, request)]
          const ids = [first, second].map(({ payload }) => payload.conversationState.conversationId)
          assert.equal(
            first.json.replace(ids[0] ?? '', 'CID'),
            second.json.replace(ids[1] ?? '', 'CID')
          )
        }),
        { numRuns: 300 }
      )
    })

    t.test('keeps its tools’ names reversible', async () => {
      fc.assert(
        fc.property(body, (request) => {
          const { payload, toolNames } = convert(dialect, request)
          const { userInputMessageContext } =
            payload.conversationState.currentMessage.userInputMessage
          const sent = userInputMessageContext?.tools ?? []
          const back = sent.map(({ toolSpecification: { name } }) =>
            Object.hasOwn(toolNames, name) ? toolNames[name] : name
          )
          assert.equal(new Set(back).size, sent.length)
          for (const name of back) assert.ok(JSON.stringify(request).includes(JSON.stringify(name)))
        }),
        { numRuns: 300 }
      )
    })
  })
}

function convert(dialect: DialectName, request: object) {
  const bytes = Buffer.from(JSON.stringify(request))
  const { payload, plan } = convertRequest(dialect, bytes, options)
  const json = Buffer.from(payload).toString()
  assert.ok(plan.inputTokens > 0)
  JSON.parse(json, (_key, value: unknown) => {
    assert.ok(typeof value !== 'string' || value.isWellFormed(), 'half of a surrogate pair')
    return value
  })
  const { repairs, toolNames } = plan
  return { json, payload: JSON.parse(json) as UpstreamPayload, repairs, toolNames }
}

interface OfferedTool {
  readonly name?: string
  readonly function?: { readonly name: string }
}

/** Every marker that must arrive; descriptions of tools that are not offered need not. */
function markersOf(request: object, isOffer: boolean): readonly string[] {
  const { tools = [], ...rest } = request as { tools?: readonly OfferedTool[] }
  const found = JSON.stringify(rest).match(MARKER) ?? []
  const seen = new Set<unknown>()
  const offered = (isOffer ? tools : []).filter((tool) => {
    const name = tool.name ?? tool.function?.name
    return !seen.has(name) && seen.add(name)
  })
  return [...found, ...(JSON.stringify(offered).match(MARKER) ?? [])]
}
