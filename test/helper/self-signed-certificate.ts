import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

export interface SelfSignedCertificate {
  /** PEM, each. */
  readonly key: string
  readonly cert: string
}

const HOUR_MS = 3_600_000

/**
 * A certificate that nobody has signed but itself, good for one day (X.509 v3, ECDSA P-256): for 127.0.0.1, or for a
 * host name. `beginsInMs` is when that day begins, by default an hour ago.
 */
export function selfSignedCertificate(
  hostName: string | null = null,
  beginsInMs = -HOUR_MS
): SelfSignedCertificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = sequence(
    set(sequence(oid('550403'), der(0x0c, Buffer.from(hostName ?? '127.0.0.1'))))
  )
  const begins = Date.now() + beginsInMs
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // v3
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ECDSA_SHA256,
    name,
    sequence(utcTime(begins), utcTime(begins + 24 * HOUR_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(altName(hostName), IS_CA))
  )
  const signature = sign('sha256', content, privateKey)
  const bits = der(0x03, Buffer.concat([Buffer.from([0]), signature]))
  const body = sequence(content, ECDSA_SHA256, bits).toString('base64')
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${body.replaceAll(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`
  }
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content
  if (length < 128) return Buffer.concat([Buffer.from([tag, length]), content])
  if (length < 256) return Buffer.concat([Buffer.from([tag, 0x81, length]), content]) // Go wants the shortest
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content])
}

function sequence(...items: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(items))
}

function set(item: Buffer): Buffer {
  return der(0x31, item)
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

function utcTime(time: number): Buffer {
  const digits = new Date(time).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)
  return der(0x17, Buffer.from(`${digits}Z`))
}

const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'))
const IS_CA = sequence(oid('551d13'), der(0x04, sequence(der(0x01, Buffer.from([0xff])))))

function altName(hostName: string | null): Buffer {
  const name =
    hostName === null ? der(0x87, Buffer.from([127, 0, 0, 1])) : der(0x82, Buffer.from(hostName))
  return sequence(oid('551d11'), der(0x04, sequence(name)))
}
