import { desktopRefreshUrl, type HostOverrides } from '../kiro/hosts.ts'
import type { JsonRequest } from '../upstream/json-call.ts'
import { REFRESH_TIMEOUT_MS } from './refresh-answer.ts'

export interface DesktopRefreshOptions {
  readonly refreshToken: string
  readonly ssoRegion: string
  readonly hosts: HostOverrides
  readonly userAgent: string
}

/** Renews a sign-in with GitHub or Google through the Kiro desktop service (kiro-protocol §3.5). */
export function desktopRefreshRequest(options: DesktopRefreshOptions): JsonRequest {
  const { refreshToken, ssoRegion, hosts, userAgent } = options
  return {
    method: 'POST',
    url: desktopRefreshUrl(ssoRegion, hosts),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': userAgent
    },
    body: JSON.stringify({ refreshToken }),
    setting: 'KIRO_AUTH_URL',
    timeoutMs: REFRESH_TIMEOUT_MS
  }
}
