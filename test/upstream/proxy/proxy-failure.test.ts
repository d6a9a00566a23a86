import t from 'tap'
import { ErrorTable } from '../../../src/shared/error-table.ts'
import type { GatewayError } from '../../../src/shared/errors.ts'
import { isConnectFailure } from '../../../src/upstream/classify.ts'
import { ProxyRefusal } from '../../../src/upstream/proxy/handshake.ts'
import { toProxyFailure } from '../../../src/upstream/proxy/proxy-failure.ts'
import { proxyOf } from '../../../src/upstream/proxy/proxy.ts'

const proxy = proxyOf({
  url: null,
  httpsUrl: 'http://me:hunter2@proxy.test:3128',
  exceptions: null
})
const target = { host: 'a.test', port: 443 }

function failureOf(cause: unknown): GatewayError {
  if (proxy === null) throw new Error('there is no proxy')
  return toProxyFailure(cause, { proxy, target }) as GatewayError
}

function coded(code: string): Error {
  return Object.assign(new Error('foreign words'), { code })
}

t.test('toProxyFailure()', (t) => {
  t.test('says for each refusal what to change', async (t) => {
    for (const [kind, sentence] of [
      [
        'credentials-missing',
        'requires a user and a password (HTTP 1). Put them into HTTPS_PROXY,'
      ],
      [
        'credentials-refused',
        'configured user and password (HTTP 1). Correct them in HTTPS_PROXY,'
      ],
      ['denied', 'refuses to connect to the upstream (HTTP 1). Allow its host there'],
      ['unreachable', 'could not connect to the upstream (HTTP 1).'],
      ['not-a-proxy', 'Check scheme and port in HTTPS_PROXY']
    ] as const) {
      const cause = new ProxyRefusal(kind, 'HTTP 1')
      const error = failureOf(cause)
      const isFinal = kind.startsWith('credentials')
      t.equal(error.code, isFinal ? 'GW_PROXY_REFUSED' : 'GW_UPSTREAM_CONNECT', kind)
      t.equal(ErrorTable[error.code].retry, isFinal ? 'never' : 'if-unanswered', kind)
      t.equal(isConnectFailure(error), !isFinal, 'whether the next host is tried')
      t.equal(error.cause, cause)
      t.ok(error.message.startsWith('The proxy of HTTPS_PROXY '))
      t.notMatch(error.message, /a\.test|proxy\.test/, 'hosts are for the log')
      t.match(error.detail, /http:\/\/proxy\.test:3128 to a\.test:443/)
      t.ok(error.message.includes(sentence), error.message)
      t.notMatch([error.message, error.detail].join(), /hunter2|\{/)
    }
  })

  t.test('tells failures of the connection to it apart', async (t) => {
    for (const [code, expected] of [
      ['ECONNREFUSED', 'GW_UPSTREAM_CONNECT'],
      ['EHOSTUNREACH', 'GW_UPSTREAM_CONNECT'],
      ['ECONNRESET', 'GW_UPSTREAM_CONNECT'],
      ['EPIPE', 'GW_UPSTREAM_CONNECT'],
      ['ENOTFOUND', 'GW_UPSTREAM_DNS'],
      ['ETIMEDOUT', 'GW_UPSTREAM_CONNECT_TIMEOUT'],
      ['UND_ERR_CONNECT_TIMEOUT', 'GW_UPSTREAM_CONNECT_TIMEOUT'],
      ['CERT_HAS_EXPIRED', 'GW_UPSTREAM_TLS']
    ] as const) {
      const error = failureOf(new AggregateError([coded(code)]))
      t.equal(error.code, expected, code)
      t.match(error.message, 'The proxy of HTTPS_PROXY ')
      t.match(error.message, `(${code}). `)
      t.notMatch(error.message, /foreign|\{/)
    }
  })

  t.test('leaves alone what is none', async (t) => {
    for (const cause of [new Error('a bug'), 'text']) t.equal(failureOf(cause), cause)
  })
  t.end()
})
