import assert from 'node:assert/strict'
import type { Test } from 'tap'
import { convertRequest, type DialectName } from '../../src/dialects/dialect.ts'
import type { ResponsesWishes } from '../../src/dialects/openai-responses/output-items.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import { RepairTable } from '../../src/kiro/rules/repair-table.ts'
import type { RequestForm } from '../../src/kiro/wire/hosts.ts'
import type { UpstreamPayload } from '../../src/kiro/wire/payload.ts'
import { checkRequest } from '../strict-simulator/request-rules.ts'
import * as fc from './fast-check.ts'
import { simulatorOptions, toAnswer } from './request-options.ts'

const RUNS = 1000
const anyForm = fc.constantFrom<RequestForm>('path', 'target')

/** What must hold for the requests of one dialect. */
export interface RequestProperties {
  readonly dialect: DialectName
  readonly body: fc.Arbitrary<object>
  /** Every marker of a request that must arrive. */
  readonly markersOf: (request: object) => readonly string[]
  /** What earlier answers left for requests to refer to. */
  readonly items?: Readonly<Record<string, unknown>>
}

/** Tests that any request becomes a payload that the upstream takes, the same each time, with names that lead back. */
export function testRequests(t: Test, properties: RequestProperties): void {
  const { body, markersOf } = properties

  t.test('becomes a payload that the upstream takes, without losing text', async () => {
    const property = fc.property(body, anyForm, (request, form) => {
      const { json, payload, plan } = convert(properties, request, form)
      const checked = checkRequest(payload, form)
      assert.ok(!('status' in checked), JSON.stringify(checked))
      for (const marker of markersOf(request)) assert.ok(json.includes(marker), marker)
      for (const code of plan.repairs) assert.ok(Object.hasOwn(RepairTable, code), code)
    })
    fc.assert(property, { numRuns: RUNS })
  })

  t.test('always becomes the same payload, so that caches can find it', async () => {
    const property = fc.property(body, anyForm, (request, form) => {
      const [first, second] = [1, 2].map(() => {
        const { json, plan } = convert(properties, request, form)
        const { conversation, turn } = plan.ids
        return json.replaceAll(conversation, 'CID').replace(turn, 'TURN')
      })
      assert.equal(first, second)
    })
    fc.assert(property, { numRuns: 300 })
  })

  t.test('keeps its tools’ names reversible', async () => {
    const property = fc.property(body, (request) => {
      const { payload, plan } = convert(properties, request)
      const { userInputMessageContext } = payload.conversationState.currentMessage.userInputMessage
      const sent = userInputMessageContext?.tools ?? []
      const back = sent.map(({ toolSpecification: { name } }) => clientNamesOf(name, plan))
      assert.equal(new Set(back.map((names) => JSON.stringify(names))).size, sent.length)
      const json = JSON.stringify(request)
      for (const name of back.flat()) assert.ok(json.includes(JSON.stringify(name)), name)
    })
    fc.assert(property, { numRuns: 300 })
  })
}

function convert(
  { dialect, items }: RequestProperties,
  request: object,
  form: RequestForm = 'path'
) {
  const bytes = Buffer.from(JSON.stringify(request))
  const answers = items === undefined ? [] : [toAnswer(items)]
  const options = simulatorOptions({ answers, form })
  const { payload, plan } = convertRequest(dialect, bytes, options)
  const json = Buffer.from(payload).toString()
  assert.ok(plan.inputTokens > 0)
  // Bytes have no halves of surrogate pairs, but escapes may stand for them.
  if (/\\ud[89a-f]/.test(json)) {
    JSON.parse(json, (_key, value: unknown) => {
      assert.ok(typeof value !== 'string' || value.isWellFormed(), 'half of a surrogate pair')
      return value
    })
  }
  return { json, payload: JSON.parse(json) as UpstreamPayload, plan }
}

/** The client's name of a tool, and of its namespace. */
function clientNamesOf(wireName: string, { toolNames, asked }: ReplyPlan): readonly string[] {
  const name = (Object.hasOwn(toolNames, wireName) ? toolNames[wireName] : undefined) ?? wireName
  const { toolForms = {} } = asked.own as Partial<ResponsesWishes>
  const form = Object.hasOwn(toolForms, name) ? toolForms[name] : undefined
  if (form === undefined) return [name]
  return form.namespace === undefined ? [form.name] : [form.namespace, form.name]
}
