import { equal } from 'node:assert/strict'
import t from 'tap'
import { JsonScanner } from '../../../src/dialects/answer/json-scanner.ts'
import {
  array,
  assert,
  constantFrom,
  jsonValue,
  nat,
  property,
  record
} from '../../helper/fast-check.ts'
import { cutAt, sliceBy } from '../../helper/upstream-events.ts'

function read(pieces: readonly string[]): string {
  const scanner = new JsonScanner()
  for (const piece of pieces) scanner.feed(piece)
  return scanner.progress
}

/** What JSON.parse says of the whole text. */
function isObjectText(json: string): boolean {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

function scan(json: string, places: readonly number[]): void {
  equal(read(cutAt(json, places)) === 'whole', isObjectText(json), json)
}

function nested(depth: number): string {
  return `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`
}

const whole = [
  '{}',
  ' \t\r\n{ } \n',
  '{"a":1}',
  '{"a":-0,"b":0.5,"c":10e5,"d":-1.25E-7,"e":1e+9}',
  '{"a":{"b":[[],{},[1,"x",true,false,null]]}}',
  String.raw`{"\"\\\/\b\f\n\r\t\u00e9":"é😀"}`,
  '{"a":1,"a":2}',
  '{"__proto__":1}'
]
const broken = [
  '[]',
  '1',
  '"x"',
  'null',
  '\ufeff{}',
  '{}}',
  '{} x',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{,}',
  '{a:1}',
  "{'a':1}",
  '{"a":01}',
  '{"a":1.}',
  '{"a":.5}',
  '{"a":+1}',
  '{"a":1e}',
  '{"a":-}',
  '{"a":tru}',
  '{"a":True}',
  '{"a":nulll}',
  '{"a":[1,]}',
  '{"a":[1}',
  '{"a":"\n"}',
  String.raw`{"a":"\x"}`,
  String.raw`{"a":"\u12g4"}`,
  '{"a":1 2}',
  '{"a":NaN}'
]

t.test('reads what JSON.parse reads, in pieces of every size', async (t) => {
  for (const json of [...whole, ...broken]) {
    t.equal(isObjectText(json), whole.includes(json), json)
    for (let size = 1; size <= json.length; size++) {
      t.equal(read(sliceBy(json, size)), isObjectText(json) ? 'whole' : 'broken', json)
    }
  }
})

t.test('tells blank, open and whole apart', async (t) => {
  t.equal(read([' ']), 'blank')
  for (const open of ['{', '{"a', '{"a":1', '{"a":{}', '{"a":"}']) t.equal(read([open]), 'open')
  t.equal(read(['{"a":{}', '}']), 'whole')
})

t.test('agrees with JSON.parse on any text, however it is cut', async () => {
  const words = constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"',
    '\\',
    '\\u00',
    '1',
    '-',
    '.',
    'e',
    '0',
    'true',
    'nul',
    ' '
  )
  assert(
    property(array(words, { maxLength: 12 }), array(nat(), { maxLength: 4 }), (parts, places) => {
      scan(parts.join(''), places)
      scan(`{"a":${parts.join('')}}`, places)
    })
  )
  assert(
    property(record({ a: jsonValue() }), array(nat(), { maxLength: 4 }), (value, places) => {
      scan(JSON.stringify(value), places)
      scan(JSON.stringify(value, null, 2), places)
      scan(JSON.stringify(value).slice(0, -1), places)
    })
  )
})

t.test('takes no arguments that are nested without end', async (t) => {
  t.equal(read([nested(1023)]), 'whole')
  t.equal(read([nested(1024)]), 'broken')
  t.equal(read(['{"a":', '['.repeat(1_000_000)]), 'broken')
})
