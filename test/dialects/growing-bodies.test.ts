import t from 'tap'
import { convertRequest, type DialectName } from '../../src/dialects/dialect.ts'
import { lintRequest } from '../../src/dialects/lint/lint-request.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { growthOf } from '../helper/growth.ts'
import { quadraticBodies } from '../helper/quadratic-bodies.ts'
import { requestOptions } from '../helper/request-options.ts'

const options = requestOptions({ sendsDocuments: true })

t.test('bodies that took time by the square of their size take it in proportion', async (t) => {
  for (const { name, dialect, bodyOf } of quadraticBodies) {
    const growth = growthOf((kb) => {
      const body = Buffer.from(JSON.stringify(bodyOf(kb * 1024)))
      return () => convert(dialect, body)
    })
    t.ok(growth.isLinear, `${name}: ${growth.told}`)
  }
})

/** A refusal takes its time, too. */
function convert(dialect: DialectName, body: Uint8Array): void {
  try {
    convertRequest(dialect, body, options)
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
  }
}

t.test('lint tells of places in names as long as a body in a few characters', async (t) => {
  const name = 'n'.repeat(400_000)
  const bad = Object.fromEntries(
    Array.from({ length: 200 }, (_, at) => [`p${at}`, { $id: 'x', '\ud800': '\ud800' }])
  )
  const input_schema = { type: 'object', properties: { [name]: { properties: bad } } }
  const request = {
    model: 'auto',
    system: 's',
    messages: [{ role: 'user', content: 'hi' }],
    tools: [{ name: 'f', input_schema }]
  }
  const body = Buffer.from(JSON.stringify(request))
  const report = lintRequest(body, { dialect: 'anthropic-messages', request: options })
  const pointers = new Set(report.findings.map(({ pointer }) => pointer))
  t.same([...pointers], ['/tools/0', '/tools/0/input_schema/properties'])
  t.ok(JSON.stringify(report).length < 2000)
})
