import t from 'tap'
import { ProxyRefusal } from '../../../src/upstream/proxy/handshake.ts'
import type { ProxyCredentials } from '../../../src/upstream/proxy/proxy.ts'
import { askSocks5 } from '../../../src/upstream/proxy/socks5.ts'
import * as fc from '../../helper/fast-check.ts'

const target = { host: 'a.test', port: 443 }
const me = { username: 'me', password: 'p' }
/** For the target: version, connect, reserved, a name of 6 bytes, port 443. */
const REQUEST = '0501000306612e7465737401bb'

interface Talk {
  readonly sent: readonly string[]
  /** What came behind the handshake; `null` while it is not complete. */
  readonly rest: Buffer | null
}

/** Feeds hexadecimal messages, each in slices and after the one before was answered; what was sent is the result. */
function talk(messages: readonly string[], size: number, options: Partial<Options> = {}): Talk {
  const handshake = askSocks5(options.target ?? target, options.credentials ?? null)
  const sent = [handshake.next().value.toString('hex')]
  for (const message of messages) {
    const bytes = Buffer.from(message.replaceAll(' ', ''), 'hex')
    for (let at = 0; at < bytes.length; at += size) {
      const { done, value } = handshake.next(bytes.subarray(at, at + size))
      if (done === true) return { sent, rest: Buffer.concat([value, bytes.subarray(at + size)]) }
      if (value.length > 0) sent.push(value.toString('hex'))
    }
  }
  return { sent, rest: null }
}

interface Options {
  readonly target: { readonly host: string; readonly port: number }
  readonly credentials: ProxyCredentials
}

t.test('askSocks5()', (t) => {
  t.test('opens with every form of address, however the bytes are cut', async (t) => {
    for (const reply of [
      '05 00 00 01 01020304 0050',
      '05 00 00 04 00112233445566778899aabbccddeeff 0050',
      '05 00 00 03 05 782e746573 0050',
      '05 00 00 03 00 0050',
      '05 00 ff 01 01020304 0050'
    ]) {
      for (let size = 1; size <= 30; size++) {
        const { sent, rest } = talk(['0500', `${reply} 6869`], size)
        t.same(sent, ['050100', REQUEST])
        t.same(rest, Buffer.from('hi'), `${reply} in ${size}`)
      }
    }
  })

  t.test('gives user and password if the proxy wants them', async (t) => {
    for (const size of [1, 2, 9]) {
      const { sent, rest } = talk(['0502', '0100', '05000001000000000000'], size, {
        credentials: { username: 'mé', password: '' }
      })
      t.same(sent, ['05020002', '01036dc3a900', REQUEST])
      t.same(rest, Buffer.alloc(0))
    }
    t.match(talk(['0500'], 1, { credentials: me }).sent, ['05020002', REQUEST], 'and not else')
    t.same(talk(['0502', '0500'], 1, { credentials: me }).sent.at(-1), REQUEST, 'a known mistake')
  })

  t.test('asks for addresses as addresses and for names as names', async (t) => {
    for (const [host, address] of [
      ['127.0.0.1', '017f000001'],
      ['::1', `04${'0'.repeat(31)}1`],
      ['::', `04${'0'.repeat(32)}`],
      ['2001:db8::a:0', '0420010db80000000000000000000a0000'],
      ['1:2:3:4:5:6:7:8', '0400010002000300040005000600070008'],
      ['b.test', '0306622e74657374'],
      ['n'.repeat(255), `03ff${'6e'.repeat(255)}`]
    ] as const) {
      const { sent } = talk(['0500'], 2, { target: { host, port: 8080 } })
      t.equal(sent[1], `050100${address}1f90`, host)
    }
    const tooLong = { target: { host: 'n'.repeat(256), port: 1 } }
    t.throws(() => talk(['0500'], 2, tooLong), { code: 'denied' })
  })

  t.test('tells refusals apart', async (t) => {
    for (const [messages, kind, fact, credentials] of [
      [['05ff'], 'credentials-missing', 'SOCKS5, no method left', undefined],
      [['05ff'], 'credentials-refused', 'SOCKS5, no method left', me],
      [['0502', '0101'], 'credentials-refused', 'SOCKS5 status 1', me],
      [['0500', '0501'], 'unreachable', 'SOCKS5 reply 1, general failure', undefined],
      [['0500', '0502'], 'denied', 'SOCKS5 reply 2, not allowed by its rules', undefined],
      [['0500', '0503'], 'unreachable', 'SOCKS5 reply 3, network unreachable', undefined],
      [['0500', '0504'], 'unreachable', 'SOCKS5 reply 4, host unreachable', undefined],
      [['0500', '0505'], 'unreachable', 'SOCKS5 reply 5, connection refused', undefined],
      [['0500', '0506'], 'unreachable', 'SOCKS5 reply 6, TTL expired', undefined],
      [['0500', '0507'], 'denied', 'SOCKS5 reply 7, command not supported', undefined],
      [['0500', '0508'], 'denied', 'SOCKS5 reply 8, address type not supported', undefined],
      [['0500', '05ff'], 'unreachable', 'SOCKS5 reply 255, unknown failure', undefined],
      [['04'], 'not-a-proxy', 'SOCKS5: version 4 instead of 5', undefined],
      [['0502'], 'not-a-proxy', 'SOCKS5: method 2, which was not offered', undefined],
      [['0501'], 'not-a-proxy', 'SOCKS5: method 1, which was not offered', me],
      [['0500', '48545450'], 'not-a-proxy', 'SOCKS5: version 72 instead of 5', undefined],
      [['0500', '0500000200'], 'not-a-proxy', 'SOCKS5: address type 2', undefined]
    ] as const) {
      const options = credentials === undefined ? {} : { credentials }
      for (const size of [1, 2, 10]) {
        t.throws(() => talk(messages, size, options), { code: kind, message: fact }, fact)
      }
    }
  })

  t.test('refuses bytes that nobody asked for', async (t) => {
    t.throws(() => talk(['050005'], 3), { code: 'not-a-proxy' })
    t.throws(() => talk(['0502', '010005'], 3, { credentials: me }), { code: 'not-a-proxy' })
  })

  t.test('waits for the rest of a message', async (t) => {
    for (const messages of [['05'], ['0500', '05'], ['0500', '050000010304050600']]) {
      t.equal(talk(messages, 1).rest, null, messages.join())
    }
    t.equal(talk(['0502', '01'], 1, { credentials: me }).rest, null)
  })

  t.test('fails in no other way, whatever comes', async () => {
    const byte = fc.constantFrom(0, 1, 2, 3, 4, 5, 255)
    const slices = fc.array(fc.array(byte, { minLength: 1, maxLength: 6 }), { maxLength: 12 })
    fc.assert(
      fc.property(slices, (messages) => {
        const handshake = askSocks5(target, me)
        handshake.next()
        try {
          for (const message of messages) {
            if (handshake.next(Buffer.from(message)).done === true) return
          }
        } catch (error) {
          if (!(error instanceof ProxyRefusal)) throw error
        }
      }),
      { numRuns: 2000 }
    )
  })
  t.end()
})
