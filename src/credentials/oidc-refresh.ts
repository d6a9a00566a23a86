import { type HostOverrides, oidcTokenUrl } from '../kiro/hosts.ts'
import type { JsonRequest } from '../upstream/json-call.ts'
import { REFRESH_TIMEOUT_MS } from './refresh-answer.ts'
import type { OidcClient } from './stored-credential.ts'

export interface OidcRefreshOptions {
  readonly refreshToken: string
  readonly client: OidcClient
  readonly ssoRegion: string
  readonly hosts: HostOverrides
  readonly userAgent: string
}

/** Renews a sign-in with Builder ID or IAM Identity Center (kiro-protocol §3.6): JSON, and camel case. */
export function oidcRefreshRequest(options: OidcRefreshOptions): JsonRequest {
  const { refreshToken, client, ssoRegion, hosts, userAgent } = options
  const { clientId, clientSecret } = client
  return {
    method: 'POST',
    url: oidcTokenUrl(ssoRegion, hosts),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': userAgent
    },
    body: JSON.stringify({ grantType: 'refresh_token', clientId, clientSecret, refreshToken }),
    setting: 'KIRO_OIDC_URL',
    timeoutMs: REFRESH_TIMEOUT_MS
  }
}
