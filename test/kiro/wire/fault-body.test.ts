import t from 'tap'
import {
  MAX_FAULT_BODY_BYTES,
  normalizeType,
  parseFaultBody
} from '../../../src/kiro/wire/fault.ts'
import * as fc from '../../helper/fast-check.ts'

t.test('parseFaultBody()', (t) => {
  t.test('finds message, reason and type in every shape that was seen', (t) => {
    const table: [unknown, { message?: string; reason?: string; type?: string }][] = [
      [
        { message: 'm', reason: 'R', __type: 'T' },
        { message: 'm', reason: 'R', type: 'T' }
      ],
      [{ message: 'm', reason: null }, { message: 'm' }],
      [
        { Message: 'm', code: 'C' },
        { message: 'm', type: 'C' }
      ],
      [{ errorMessage: 'm' }, { message: 'm' }],
      [{ error: { reason: 'R', message: 'm' } }, { message: 'm', reason: 'R' }],
      [{ Output: { message: 'm', __type: 'a#T' } }, { message: 'm', type: 'a#T' }],
      [{ message: 7, reason: {}, error: 'x' }, {}]
    ]
    for (const [body, { message = null, reason = null, type = null }] of table) {
      const text = JSON.stringify(body)
      t.same(
        parseFaultBody({}, text),
        { form: 'json', type, message, reason, retryAfterS: null },
        text
      )
    }
    t.end()
  })
  t.test('prefers the type of the header', (t) => {
    const headers = { 'x-amzn-errortype': ['ThrottlingException:http://x'] }
    t.equal(parseFaultBody(headers, '{"__type":"Other"}').type, 'ThrottlingException:http://x')
    t.equal(parseFaultBody(headers, '').type, 'ThrottlingException:http://x')
    t.end()
  })
  t.test('tells a web page, plain text and silence apart', (t) => {
    t.equal(parseFaultBody({}, '<!DOCTYPE html><html>').form, 'html')
    t.equal(parseFaultBody({ 'content-type': 'text/html' }, 'Forbidden').form, 'html')
    t.same(parseFaultBody({}, 'Too busy').message, 'Too busy')
    t.equal(parseFaultBody({}, '[1]').form, 'text')
    t.equal(parseFaultBody({}, ' \r\n').form, 'empty')
    t.end()
  })
  t.test('does not parse what is over the limit', (t) => {
    t.equal(parseFaultBody({}, json(MAX_FAULT_BODY_BYTES)).form, 'json')
    t.equal(parseFaultBody({}, json(MAX_FAULT_BODY_BYTES + 1)).form, 'text')
    t.end()
  })
  t.test('never throws', (t) => {
    const anything = fc.property(fc.oneof(fc.string(), fc.json()), (body) => {
      parseFaultBody({}, body)
    })
    t.doesNotThrow(() => fc.assert(anything))
    t.end()
  })
  t.end()
})

t.test('normalizeType() makes one name of the many that AWS has for a shape', (t) => {
  for (const type of [
    'ThrottlingException',
    'throttlingError',
    'com.amazon.aws#ThrottlingException',
    'ThrottlingException:http://internal.amazon.com/coral/#x',
    'com.amazon#ThrottlingException:'
  ]) {
    t.equal(normalizeType(type), 'throttling', type)
  }
  t.equal(normalizeType(''), '')
  t.end()
})

function json(length: number): string {
  return `{"message":"${'m'.repeat(length - 14)}"}`
}
