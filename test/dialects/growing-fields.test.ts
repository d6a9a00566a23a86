import assert from 'node:assert/strict'
import t from 'tap'
import { convertRequest } from '../../src/dialects/dialect.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import * as fc from '../helper/fast-check.ts'
import { type GrowingField, growingFields } from '../helper/growing-fields.ts'
import { growthOf } from '../helper/growth.ts'
import { isNightly } from '../helper/nightly.ts'
import { requestOptions } from '../helper/request-options.ts'

const KIB = 1024
/** What an answer may keep of the largest request. */
const MAX_KEPT_BYTES = 2 * KIB * KIB
const MAX_GROWTH = 2
const FREE_BYTES = 256 * KIB

const fields = growingFields()
const options = requestOptions()

t.test('the fields of all dialects are found', async (t) => {
  t.ok(fields.length > 1000, `${fields.length}`)
  for (const part of ['.stop_sequences', 'tool_result as toolResult', '.allowed_tools.tools']) {
    t.ok(
      fields.some(({ name }) => name.includes(part)),
      part
    )
  }
})

t.test('whatever a field is filled with, twice of it takes twice the time', async () => {
  const property = fc.property(fc.constantFrom(...fields), (field) => {
    const growth = growthOf((kb) => {
      const body = toBody(field, kb)
      return () => convert(field, body)
    })
    assert.ok(growth.isLinear, `${field.name}: ${growth.told}`)
  })
  fc.assert(property, { numRuns: isNightly ? 100 : 5 }) // of a second each
})

t.test('and neither what is sent nor what is kept is many times as much', async () => {
  const property = fc.property(fc.constantFrom(...fields), (field) => {
    const body = toBody(field, 128)
    const made = convert(field, body)
    if (made === null) return
    const maxBytes = body.byteLength * MAX_GROWTH + FREE_BYTES
    assert.ok(made.payload.byteLength <= maxBytes, `${field.name}: ${made.payload.byteLength}`)
    assert.ok(made.plan.keptBytes <= MAX_KEPT_BYTES, `${field.name}: ${made.plan.keptBytes}`)
  })
  fc.assert(property, { numRuns: 100 })
})

function toBody({ bodyOf }: GrowingField, kb: number): Buffer {
  return Buffer.from(JSON.stringify(bodyOf(kb * KIB)))
}

/** `null` for a refusal, which takes its time, too. */
function convert({ dialect }: GrowingField, body: Uint8Array) {
  try {
    return convertRequest(dialect, body, options)
  } catch (error) {
    if (error instanceof GatewayError) return null
    throw error
  }
}
