import assert from 'node:assert/strict'
import t from 'tap'
import { uuidOf } from '../../../src/kiro/conversation/ids.ts'
import { makeToolId, toWireToolId, toWireToolName } from '../../../src/kiro/conversation/tools.ts'
import * as fc from '../../helper/fast-check.ts'

t.test('names and ids that clients have sent', async (t) => {
  const long = 'mcp__filesystem_server_with_a_really_long_name__read_multiple_files_recursively_v2'
  t.equal(toWireToolName(long), 'mcp__filesystem_server_with_a_really_long_name__read_m_b7d6349f')
  t.equal(toWireToolName('mcp__github__get.file contents'), 'mcp__github__get_file_contents')
  t.equal(toWireToolId('toolu_01 ABC:def'), 'toolu_01_ABC_def')
  t.equal(
    toWireToolId('call_9f8e7d6c|fc_0123456789abcdef0123456789abcdef0123456789abcdef0123456789'),
    'call_9f8e7d6c_fc_0123456789abcdef0123456789abcdef012345_447aaffa'
  )
})

t.test('toWireToolName()', async (t) => {
  t.test('keeps what fits: 63 characters are kept, 64 are not', async (t) => {
    t.equal(toWireToolName('n'.repeat(63)), 'n'.repeat(63))
    t.equal(toWireToolName('n'.repeat(64)).length, 63)
    t.not(toWireToolName('n'.repeat(64)), toWireToolName('n'.repeat(65)))
  })

  t.test('begins with a letter', async (t) => {
    t.equal(toWireToolName('7zip'), 't_7zip')
    t.equal(toWireToolName('__proto__'), 't___proto__')
    t.equal(toWireToolName(''), 't_')
  })

  t.test('is idempotent and gives what the upstream takes, for any name', async () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 120 }), (name) => {
        const wire = toWireToolName(name)
        assert.match(wire, /^[A-Za-z][A-Za-z0-9_-]{0,62}$/)
        assert.equal(toWireToolName(wire), wire)
      })
    )
  })
})

t.test('toWireToolId()', async (t) => {
  t.test('keeps what fits: 64 characters are kept, 65 are not', async (t) => {
    t.equal(toWireToolId('i'.repeat(64)), 'i'.repeat(64))
    t.equal(toWireToolId('i'.repeat(65)).length, 64)
  })

  t.test('leaves nothing of blank ids, for the caller to give one', async (t) => {
    t.equal(toWireToolId(' \n'), '')
  })

  t.test('is idempotent and gives what the upstream takes, for any id', async () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 120 }), (id) => {
        const wire = toWireToolId(id)
        assert.match(wire, /^[A-Za-z0-9_-]{0,64}$/)
        assert.equal(toWireToolId(wire), wire)
      })
    )
  })
})

t.test('makeToolId() is the same in every request and differs by place', async (t) => {
  t.match(makeToolId(0), /^toolu_[0-9a-f]{24}$/)
  t.equal(makeToolId(3), makeToolId(3))
  t.not(makeToolId(3), makeToolId(4))
})

t.test('uuidOf() is a UUID that depends on the text alone', async (t) => {
  t.match(uuidOf('a'), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.equal(uuidOf('a'), uuidOf('a'))
  t.not(uuidOf('a'), uuidOf('b'))
})
