import type { PanelClient } from './panel-client.ts'

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

export interface OAuthReply {
  readonly status: number
  readonly headers: Headers
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of many shapes
  readonly json: any
}

export interface DeviceTokens {
  readonly access: string
  readonly refresh: string
}

/** A client that signs in by a device code, as RFC 8628 describes it. */
export class DeviceClient {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>

  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.url = url
    this.headers = headers
  }

  async metadata(): Promise<OAuthReply> {
    return replyOf(
      await fetch(`${this.url}/.well-known/oauth-authorization-server`, { headers: this.headers })
    )
  }

  async post(
    path: string,
    form: string | Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {}
  ): Promise<OAuthReply> {
    const reply = await fetch(this.url + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...this.headers,
        ...headers
      },
      body: typeof form === 'string' ? form : new URLSearchParams(form).toString()
    })
    return replyOf(reply)
  }

  ask(form: Readonly<Record<string, string>> = { surface: 'claude_code' }): Promise<OAuthReply> {
    return this.post('/oauth/device_authorization', form)
  }

  poll(deviceCode: string, more: Readonly<Record<string, string>> = {}): Promise<OAuthReply> {
    return this.post('/oauth/token', {
      grant_type: DEVICE_GRANT,
      device_code: deviceCode,
      ...more
    })
  }

  refresh(token: string, more: Readonly<Record<string, string>> = {}): Promise<OAuthReply> {
    return this.post('/oauth/token', {
      grant_type: 'refresh_token',
      refresh_token: token,
      ...more
    })
  }

  revoke(token: string, more: Readonly<Record<string, string>> = {}): Promise<OAuthReply> {
    return this.post('/oauth/revoke', { token, ...more })
  }

  /** Signs in with the approval of an operator. */
  async signIn(panel: PanelClient, choice: object): Promise<DeviceTokens> {
    const { json: asked } = await this.ask()
    const approved = await panel.post('/admin/v1/devices/approve', {
      code: asked.user_code,
      ...choice
    })
    if (approved.status !== 200) throw new Error(`not approved: ${approved.text}`)
    return tokensOf(await this.poll(asked.device_code))
  }
}

export function tokensOf({ status, json }: OAuthReply): DeviceTokens {
  if (status !== 200) throw new Error(`no tokens: ${status} ${JSON.stringify(json)}`)
  return { access: json.access_token, refresh: json.refresh_token }
}

/** Status of a request with an access token, or a key: its own usage. */
export async function statusWith(url: string, token: string, header = 'bearer'): Promise<number> {
  const headers = header === 'bearer' ? { authorization: `Bearer ${token}` } : { [header]: token }
  const reply = await fetch(`${url}/v1/usage`, { headers })
  await reply.text()
  return reply.status
}

async function replyOf(reply: Response): Promise<OAuthReply> {
  const text = await reply.text()
  return {
    status: reply.status,
    headers: reply.headers,
    json: text === '' ? null : JSON.parse(text)
  }
}
