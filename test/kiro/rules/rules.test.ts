import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { convertRequest } from '../../../src/dialects/dialect.ts'
import { lintRequest } from '../../../src/dialects/lint/lint-request.ts'
import { RepairTable } from '../../../src/kiro/rules/repair-table.ts'
import { isRuleId, type Rule, type RuleId, RuleTable } from '../../../src/kiro/rules/rules.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { resolvePointer } from '../../../src/shared/json.ts'
import { checkRequest } from '../../strict-simulator/request-rules.ts'
import { refusalOfBroken } from '../../helper/broken-payloads.ts'
import { type BrokenRequest, brokenRequests } from '../../helper/broken-requests.ts'
import { simulatorOptions } from '../../helper/request-options.ts'

const rules = Object.entries<Rule>(RuleTable).flatMap(([id, rule]) =>
  isRuleId(id) ? [{ id, rule }] : []
)
const severityOf = ({ outcome }: BrokenRequest) =>
  outcome === 'refused' || outcome === 'borderline' ? outcome : 'repaired'

/** Rules that the strict simulator does not refuse, and why. */
const NOT_SIMULATED: ReadonlyMap<string, string> = new Map([
  ['stable-start', 'The upstream takes it, and charges more.'],
  ['payload-size', 'A newer probe saw larger bodies pass: payload-weight is what counts there.'],
  ['text-unicode', 'There are no reports of what the upstream does with half a surrogate pair.'],
  ['tool-schema-references', 'There are no reports of whether the upstream takes references.'],
  ['document-size', 'No limit of their own is known: they count in payload-weight.']
])

/** Why no single request of a client shows that it breaks the rule; `undefined` if one can. */
function whyOwn(id: RuleId, { fix }: Rule): string | undefined {
  if (id === 'reasoning-signature')
    return 'Only the upstream can tell a good signature from another.'
  if (id === 'stable-start') return 'One request alone does not show it.'
  return fix.includes('a fault of the gateway') ? 'The gateway writes this part.' : undefined
}

/** What becomes of requests that break a rule. */
function outcomes(id: RuleId): string {
  const examples = brokenRequests.filter(({ rule }) => rule === id)
  return [...new Set(examples.map(severityOf))].join(', ')
}

t.test('every rule', async (t) => {
  for (const { id, rule } of rules) {
    t.test(id, async (t) => {
      const refusal = refusalOfBroken(id)
      const notSimulated = NOT_SIMULATED.get(id)
      if (notSimulated === undefined) {
        t.match(refusal, { status: 400, rule: id, violation: /\w/ }, 'the simulator refuses')
      } else t.equal(refusal, null, notSimulated)
      const examples = brokenRequests.filter((example) => example.rule === id)
      const own = whyOwn(id, rule)
      if (own === undefined) t.ok(examples.length > 0, 'a client can break it')
      else t.same(examples, [], own)
    })
  }
})

/** Made when the upstream has refused the request, when a PDF has been read, or by a later request. */
const MADE_LATER: readonly string[] = [
  'history-trimmed',
  'reasoning-refused',
  'document-refused',
  'fields-refused',
  'document-large',
  'system-text-changed'
]

t.test('every repair has an example and belongs to its rule', async (t) => {
  for (const [code, { rule }] of Object.entries(RepairTable)) {
    if (MADE_LATER.includes(code)) continue
    const example = brokenRequests.find(({ outcome }) => outcome === code)
    t.equal(example?.rule, rule, code)
  }
})

t.test('requests that break a rule', async (t) => {
  for (const example of brokenRequests) {
    const { rule, outcome, pointer, dialect, body } = example
    const options = simulatorOptions(example.options)
    const bytes = Buffer.from(JSON.stringify(body))
    t.test(`${rule}: ${outcome}`, async (t) => {
      const report = lintRequest(bytes, { dialect, request: options })
      const severity = severityOf(example)
      const finding = report.findings.find((one) => one.rule === rule && one.severity === severity)
      t.match(finding, { rule, severity, pointer, message: /\w/, fix: /\w/ })
      if (severity === 'repaired') t.equal(finding?.code, outcome)
      if (pointer !== '') t.not(resolvePointer(body, pointer), undefined, 'leads into the body')
      t.equal(report.ok, severity !== 'refused')
      if (severity === 'refused') {
        t.throws(() => convertRequest(dialect, bytes, options), GatewayError)
        return
      }
      if (severity === 'borderline') {
        const { plan } = convertRequest(dialect, bytes, options)
        t.ok(plan.borderline.includes(rule), 'the plan remembers it')
        return
      }
      for (const form of ['path', 'target'] as const) {
        const inForm = { ...options, form }
        t.same(lintRequest(bytes, { dialect, request: inForm }), report, 'the same in either form')
        const { payload, plan } = convertRequest(dialect, bytes, inForm)
        t.ok(plan.repairs.includes(outcome), 'the plan names it')
        const checked = checkRequest(JSON.parse(Buffer.from(payload).toString()), form)
        t.notOk('status' in checked, `and it passes, ${form} form`)
      }
    })
  }
})

t.test('a request without fault has no finding', async (t) => {
  const bytes = Buffer.from(
    JSON.stringify({
      model: 'claude-haiku-4.5',
      max_tokens: 100,
      tools: [
        { name: 'f', description: 'F', input_schema: { type: 'object', properties: { a: {} } } }
      ],
      messages: [
        { role: 'user', content: 'go' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'f', input: {} }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'ok' }] }
      ]
    })
  )
  const report = lintRequest(bytes, { request: simulatorOptions() })
  t.same(report, { ok: true, dialect: 'anthropic-messages', findings: [] })
})

t.test('docs/rules.md lists rules and repairs as they are', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/rules.md'), 'utf8')
  const rows = (heading: string) => {
    const [, section = ''] = page.split(`\n## ${heading}\n`)
    const [table = ''] = section.split('\n## ')
    return table
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.split(' | ').map((cell) => cell.replaceAll(/^\| | \|$|`/g, '').trim()))
  }
  const others: readonly RuleId[] = rules.flatMap(({ id, rule }) => (whyOwn(id, rule) ? [] : [id]))
  t.same(
    rows('Rules'),
    others.map((id) => [id, RuleTable[id].what, outcomes(id), RuleTable[id].fix])
  )
  t.same(
    rows('Repairs'),
    Object.entries(RepairTable).map(([code, { rule, what }]) => [code, rule, what])
  )
  const own = rules.flatMap(({ id, rule }) => (whyOwn(id, rule) ? [[id, rule.what]] : []))
  t.same(rows('Rules that the gateway keeps by itself'), own)
})
