import { isIP } from 'node:net'
import { GatewayError } from '../shared/errors.ts'
import type { IdpClient } from './stored-credential.ts'

/** Microsoft Entra ID, in all its clouds. */
const BUILT_IN = ['.microsoftonline.com', '.microsoftonline.us', '.microsoftonline.cn'] as const

/**
 * Returns the URL at which an identity provider renews a sign-in. It comes from a file, and the refresh token is sent
 * there: it must be https on the usual port, at the issuer's or a known host (kiro-protocol §3.11).
 * @throws {GatewayError} GW_IDP_NOT_ALLOWED
 */
export function idpTokenUrl(
  { tokenEndpoint, issuerUrl }: IdpClient,
  allowedHosts: readonly string[]
): string {
  const url = URL.parse(tokenEndpoint)
  if (url === null) throw notAllowed('it is not a URL')
  if (url.protocol !== 'https:') throw notAllowed('it does not use https')
  if (url.username !== '' || url.password !== '') throw notAllowed('it contains a user name')
  if (url.port !== '') throw notAllowed('it names a port')
  const host = url.hostname.toLowerCase().replace(/\.$/, '')
  if (isIP(host.replace(/^\[(.*)\]$/, '$1')) !== 0) throw notAllowed('it names an address')
  const issuer = URL.parse(issuerUrl ?? '')
  const isIssuers = issuer?.protocol === 'https:' && issuer.hostname.toLowerCase() === host
  if (isIssuers || [...BUILT_IN, ...allowedHosts].some((rule) => fits(host, rule))) return url.href
  throw notAllowed(
    `its host ${host} is not known; if it is your provider's, add it to KIRO_IDP_HOSTS`
  )
}

function fits(host: string, rule: string): boolean {
  const name = rule.toLowerCase()
  return name.startsWith('.') ? host.endsWith(name) : host === name
}

function notAllowed(problem: string): GatewayError {
  return new GatewayError('GW_IDP_NOT_ALLOWED', undefined, {
    message: `The sign-in names a token endpoint that is not allowed: ${problem}. KIRO_IDP_HOSTS and KIRO_IDP_URL set where it may be renewed.`
  })
}
