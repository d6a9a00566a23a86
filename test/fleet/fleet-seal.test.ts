import t from 'tap'
import { FleetSeal } from '../../src/fleet/fleet-seal.ts'

const [FIRST, SECOND] = ['a'.repeat(32), 'b'.repeat(32)]

t.test('what is sealed opens with any of the secrets, where it belongs', async (t) => {
  const sealed = new FleetSeal([FIRST], 'kiro').seal('token – ü', 'v1|a|1')
  t.equal(new FleetSeal([SECOND, FIRST], 'kiro').open(sealed, 'v1|a|1'), 'token – ü')
  t.equal(new FleetSeal([SECOND], 'kiro').open(sealed, 'v1|a|1'), null, 'another secret')
  t.equal(new FleetSeal([FIRST], 'other').open(sealed, 'v1|a|1'), null, 'another fleet')
  t.equal(new FleetSeal([FIRST], 'kiro').open(sealed, 'v1|a|2'), null, 'another generation')
  t.not(new FleetSeal([FIRST], 'kiro').seal('token – ü', 'v1|a|1'), sealed, 'never the same twice')
  t.notMatch(Buffer.from(sealed, 'base64').toString('latin1'), /token/)
})

t.test('no changed byte is believed', async (t) => {
  const seal = new FleetSeal([FIRST], 'kiro')
  const bytes = Buffer.from(seal.seal('secret', 'x'), 'base64')
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
    t.equal(seal.open(changed.toString('base64'), 'x'), null)
    t.equal(seal.open(bytes.subarray(0, at).toString('base64'), 'x'), null)
  }
  t.equal(seal.open('', 'x'), null)
  t.equal(seal.open('no base64 ✂', 'x'), null)
})
