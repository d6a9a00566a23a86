import { once } from 'node:events'
import { isIP } from 'node:net'
import { connect } from 'node:tls'
import { upstreamNames } from '../../../upstream/names/host-names.ts'
import { openSocket } from '../../../upstream/connections/open-socket.ts'
import { addressOf, type Proxy, toAuthority } from '../../../upstream/proxy/proxy.ts'

export interface Certificate {
  readonly issuer: string
  readonly validFrom: string
  readonly validTo: string
}

export interface CertificateOptions {
  readonly origin: URL
  readonly proxy: Proxy | null
  readonly nameServers: readonly string[]
  readonly timeoutMs: number
}

/** Reads an untrusted certificate, whose issuer shows what inspects TLS in between. Sends nothing. */
export async function readCertificate(options: CertificateOptions): Promise<Certificate | null> {
  const { origin, proxy, nameServers, timeoutMs } = options
  const target = addressOf(origin)
  const names = upstreamNames(nameServers)
  const attempt = openSocket({
    origin: new URL(`http://${toAuthority(target)}`), // the way alone, without TLS
    proxy,
    resolveHost: (host, signal) => names.resolve(host, signal),
    timeoutMs,
    tlsSessions: new Map()
  })
  try {
    const socket = connect({
      socket: await attempt.ready,
      rejectUnauthorized: false,
      ...(isIP(target.host) === 0 ? { servername: target.host } : {})
    })
    socket.on('error', () => {}) // also after it was looked at
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(timeoutMs) })
    const { issuer, valid_from: from, valid_to: to } = socket.getPeerCertificate()
    return {
      issuer: cleanName(issuer.O ?? issuer.CN),
      validFrom: toDay(from),
      validTo: toDay(to)
    }
  } catch {
    return null // the visit has its own error, which is what counts
  } finally {
    attempt.giveUp()
    names.close()
  }
}

function cleanName(name: string | readonly string[] | undefined): string {
  const text = typeof name === 'string' ? name : (name?.join(', ') ?? '')
  return text === '' ? 'an unnamed issuer' : `"${text.slice(0, 80)}"`
}

function toDay(text: string): string {
  const time = Date.parse(text)
  return Number.isNaN(time) ? 'unknown' : new Date(time).toISOString().slice(0, 10)
}
