import type { Snapshot } from '../../src/dashboard/feed.ts'
import { type JsonObject, textMember } from '../../src/shared/json.ts'
import { madeUpRequest } from './made-up-figures.ts'

/*
 * Answers of `/admin/v1` without a gateway, for the page in a browser and its pictures. Changes are remembered, so that a page
 * sees what it has done. With a real gateway behind the page: test/panel/.
 */

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly type?: string
}

interface MadeUpKey {
  readonly id: string
  name: string
  state: 'active' | 'expired' | 'revoked'
  version: string
  credits: object | null
  requests_per_minute: number | null
  max_streams: number | null
  models: readonly string[] | null
  overage: boolean
  created_at: string
  expires_at: string | null
  revoked_at: string | null
  old_key_until: string | null
  last_seen: string | null
  today: Sums | null
  last_30_days: Sums | null
}

interface Sums {
  readonly requests: number
  readonly failed: number
  readonly input_tokens: number
  readonly output_tokens: number
  readonly cached_tokens: number
  readonly credits: number
}

const DAY_MS = 86_400_000
const NAMES = ['anna', 'ben', 'chloe', 'daniel'] as const
const MODELS = ['claude-opus-5.5', 'claude-sonnet-5.5', 'gpt-5.5', 'claude-haiku-4.5'] as const
const CLIENTS = ['claude-code', 'codex', 'opencode', 'cline'] as const

function sumsOf(credits: number): Sums {
  return {
    requests: Math.round(credits * 84),
    failed: Math.round(credits * 0.6),
    input_tokens: Math.round(credits * 280_000),
    output_tokens: Math.round(credits * 51_000),
    cached_tokens: Math.round(credits * 190_000),
    credits
  }
}

export class MadeUpPanel {
  /** Changes that came, in order: `POST keys {"name":…}`. Bounded by the test. */
  readonly changes: string[] = []
  /** Changes are answered once this has resolved, so that a test can press twice. */
  mayAnswer: Promise<void> = Promise.resolve()
  /** True once a person has confirmed the code of the sign-in to Kiro. */
  isConfirmed = false
  /** As where no request was ever made. */
  isUnused = false
  /** Devices that wait for a decision. Bounded by the test. */
  readonly waiting: object[] = []
  /** Devices that have signed in. Bounded by the test. */
  readonly devices: object[] = []
  /** Bounded by the test. */
  readonly keys: MadeUpKey[]
  readonly #at: number
  readonly #snapshot: () => Snapshot
  /** Bounded by the test. */
  readonly #audit: object[] = []
  #settings = SETTINGS
  #names: readonly string[] = NAMES
  #models: readonly string[] = MODELS
  #clients: readonly string[] = CLIENTS
  #flow: Record<string, unknown> | null = null

  constructor(snapshot: () => Snapshot) {
    this.#snapshot = snapshot
    this.#at = snapshot().now.at
    this.keys = NAMES.map((name, index) =>
      this.#key(name, [600, 400, 300, 160][index] ?? 10, [457.3, 357.3, 257.3, 157.2][index] ?? 0)
    )
  }

  /** Puts a text wherever a client, a person or the upstream chooses one. */
  spoil(text: string): void {
    this.lengthen(text, text)
    this.addDevices(text, text)
    this.#settings = [...SETTINGS, setting(text, text, 'file', text)]
    this.#audit.push({
      n: 1,
      at: this.#iso(0),
      who: text,
      via: text,
      from: text,
      action: text,
      subject: text,
      before: { [text]: text },
      after: { [text]: 1 }
    })
  }

  /** Gives the first of each the longest name that it may have, and a bar that tells little beside it. */
  lengthen(name: string, model: string): void {
    Object.assign(this.keys[0] ?? {}, { name, models: [model, model], credits: null })
    this.#names = [name, ...NAMES.slice(1)]
    this.#models = [model, ...MODELS.slice(1)]
    this.#clients = [name, ...CLIENTS.slice(1)]
  }

  /** One device that waits, and one that has signed in with the first key. */
  addDevices(client: string, host: string): void {
    const device = { client, host, address: '192.0.2.17' }
    const [asked, expires, since, used] = [-40_000, 260_000, -9 * DAY_MS, -60_000].map((ms) =>
      this.#iso(ms)
    )
    this.waiting.push({ ...device, code: 'BCDF-GHJK', asked_at: asked, expires_at: expires })
    const { id: key, name: key_name } = this.keys[0] ?? { id: '', name: '' }
    const from = { key, key_name, approved_by: client, since, last_used_at: used }
    this.devices.push({ ...device, ...from, id: 'd1' })
  }

  /** What an operator has done: a few lines of the audit log. */
  operate(): void {
    this.#note('key.change', 'ben', { credits: '300/month' }, { credits: '400/month' })
    this.#note('settings.reload', '', { LOG_LEVEL: 'debug' }, { LOG_LEVEL: 'info' })
    this.#note('worker.recycle', '1')
  }

  answer(method: string, url: URL, body: JsonObject): Answer {
    const path = url.pathname.replace('/admin/v1/', '')
    if (method === 'POST') {
      this.changes.push(`${path} ${JSON.stringify(body)}`)
      return this.#change(path, body)
    }
    return this.#look(path, url.searchParams)
  }

  #look(path: string, query: URLSearchParams): Answer {
    if (path === 'keys') {
      const unnamed = [
        {
          id: 'operator',
          today: sumsOf(1.2),
          last_30_days: sumsOf(9.4),
          last_seen: this.#iso(-400_000)
        }
      ]
      return ok({ keys: this.keys, unnamed, operator_keys: 1, book_problem: null })
    }
    const [, id] = /^keys\/([^/]+)$/.exec(path) ?? []
    if (id !== undefined) {
      const key = this.keys.find((one) => one.id === decodeURIComponent(id))
      return key === undefined ? refused(404, 'GW_NOT_FOUND', 'There is no such key.') : ok({ key })
    }
    if (path === 'usage') return this.#usage(query)
    if (path === 'requests') return this.#requests(query)
    const own = new URLSearchParams([...query, ['key', this.#names[0] ?? '']])
    if (path === 'me/usage') return this.#usage(own)
    if (path === 'me/requests') return this.#requests(own)
    if (path.startsWith('requests/')) return this.#request(path.slice('requests/'.length))
    if (path === 'me') {
      return ok({
        role: 'person',
        name: 'anna',
        key: this.keys[0] ?? null,
        base_url: 'http://127.0.0.1:8000'
      })
    }
    if (path === 'settings') return ok({ settings: this.#settings, file: '/srv/kiro/.env' })
    if (path === 'audit') return ok({ entries: this.#audit.toReversed(), next: null })
    if (path === 'gateway') {
      const { version, node, startedAt } = this.#snapshot().account
      const update = 'Pull or build the new image, then "docker compose up -d".'
      return ok({
        version,
        node,
        started_at: new Date(startedAt).toISOString(),
        pid: 7,
        installed: 'image',
        update
      })
    }
    if (path === 'sign-in') return ok(this.#signIn())
    if (path === 'devices') return ok({ pending: this.waiting, devices: this.devices })
    return refused(404, 'GW_ROUTE_UNKNOWN', `The route ${path} does not exist.`)
  }

  #change(path: string, body: JsonObject): Answer {
    if (path === 'keys') return this.#add(body)
    const [, id, act] = /^keys\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? []
    const key = this.keys.find((one) => one.id === id)
    if (key !== undefined) return this.#changeKey(key, act ?? 'change', body)
    if (path === 'reload')
      return this.#did('settings.reload', '', {
        need_restart: [],
        warnings: [],
        sentence: 'The settings were read again. Nothing needs a restart.'
      })
    if (path === 'account/lift')
      return this.#did('account.lift', 'monthly', {
        lifted: ['monthly'],
        sentence: 'Lifted. The next request calls Kiro again.'
      })
    if (path.startsWith('workers/'))
      return this.#did('worker.recycle', path.split('/')[1] ?? '', {
        slot: 1,
        sentence: 'Worker 1 finishes its answers; a new one takes its place.'
      })
    if (path === 'sign-in') return this.#startSignIn(body)
    if (path === 'sign-in/cancel') {
      this.#flow = { ...this.#flow, state: 'cancelled', sentence: 'The sign-in was cancelled.' }
      return ok({ flow: this.#flow })
    }
    if (path === 'sign-out')
      return this.#did('sign-out', '', { was_signed_in: true, sentence: 'Signed out of Kiro.' })
    return refused(404, 'GW_ROUTE_UNKNOWN', `The route ${path} does not exist.`)
  }

  #add(body: JsonObject): Answer {
    const name = String(body['name'])
    if (this.keys.some((key) => key.name === name)) {
      return refused(409, 'GW_CONFLICT', `There is a key named ${name} already.`, 'name')
    }
    const limit = /^([\d.]+)\/(\w+)$/.exec(textMember(body, 'credits') ?? '')
    if (body['credits'] !== null && !(Number(limit?.[1]) > 0)) {
      return refused(
        400,
        'GW_FIELD_INVALID',
        'Credits are a number above 0, such as 200.',
        'credits'
      )
    }
    const key = this.#key(name, Number(limit?.[1] ?? 0), 0)
    key.created_at = this.#iso(0)
    key.max_streams = (body['max_streams'] as number | null | undefined) ?? null
    if (limit === null) key.credits = null
    this.keys.push(key)
    return this.#did('key.add', name, this.#issued(key), 201)
  }

  #changeKey(key: MadeUpKey, act: string, body: JsonObject): Answer {
    if (act === 'revoke') {
      key.state = 'revoked'
      key.revoked_at = this.#iso(0)
      return this.#did('key.revoke', key.name, {
        key,
        sentence: `"${key.name}" can no longer get in. Running answers end normally.`
      })
    }
    if (act === 'rotate') {
      key.old_key_until = this.#iso(DAY_MS)
      return this.#did('key.rotate', key.name, {
        ...this.#issued(key),
        old_key_until: key.old_key_until
      })
    }
    if (body['version'] !== key.version) {
      return {
        status: 412,
        body: { ...errorOf('GW_CHANGED_MEANWHILE', 'The key was changed meanwhile.', null), key }
      }
    }
    key.version = `${Number(key.version) + 1}`
    const limit = /^([\d.]+)\/(\w+)$/.exec(textMember(body, 'credits') ?? '')
    key.credits =
      limit === null ? null : { ...key.credits, limit: Number(limit[1]), period: limit[2] }
    key.max_streams = body['max_streams'] as number | null
    return this.#did('key.change', key.name, { key })
  }

  #issued(key: MadeUpKey): object {
    const secret = `kgw_${key.name}_0123456789abcdef`
    return {
      key,
      secret,
      command: `npx kiro-gateway setup claude --url http://127.0.0.1:8000 --key ${secret}`,
      note: null
    }
  }

  #did(action: string, subject: string, body: object, status = 200): Answer {
    this.#note(action, subject)
    return { status, body }
  }

  #note(
    action: string,
    subject: string,
    before: object | null = null,
    after: object | null = null
  ): void {
    this.#audit.push({
      n: this.#audit.length + 1,
      at: this.#iso(0),
      who: 'operator',
      via: 'session',
      from: '127.0.0.1',
      action,
      subject,
      before,
      after
    })
  }

  #startSignIn(body: JsonObject): Answer {
    if (body['provider'] === 'organisation' && !String(body['start_url']).startsWith('https://')) {
      return refused(400, 'GW_FIELD_INVALID', 'The start URL begins with https://.', 'start_url')
    }
    this.isConfirmed = false
    this.#flow = {
      id: 'f1',
      provider: body['provider'],
      state: 'waiting',
      url: 'https://view.awsapps.com/start/#/device?user_code=ABCD-EFGH',
      user_code: 'ABCD-EFGH',
      expires_at: this.#iso(600_000),
      problem: null,
      needs_paste: false,
      restart_needed: false,
      sentence: 'Open the page and confirm the code.'
    }
    return { status: 201, body: { flow: this.#flow } }
  }

  #signIn(): object {
    if (this.#flow?.['state'] === 'waiting' && this.isConfirmed) {
      this.#flow = { ...this.#flow, state: 'done', sentence: 'Signed in to Kiro.' }
    }
    const { signIn } = this.#snapshot().account
    return {
      state: signIn.state,
      method: signIn.method,
      region: signIn.region,
      expires_at: null,
      ends_at: null,
      problem: null,
      source_is_own: true,
      flow: this.#flow
    }
  }

  #usage(query: URLSearchParams): Answer {
    const days = Number(/^(\d+)d$/.exec(query.get('since') ?? '')?.[1] ?? 30)
    const until = new Date(this.#at).toISOString().slice(0, 10)
    const since = new Date(this.#at - (days - 1) * DAY_MS).toISOString().slice(0, 10)
    const by = query.get('by') ?? 'day'
    const split = query.get('split') ?? (by === 'day' ? '' : by)
    const names =
      split === 'key'
        ? this.#names
        : split === 'model'
          ? this.#models
          : split === 'client'
            ? this.#clients
            : ['']
    const share = query.has('key') ? 0.37 : 1
    /** The first uses most; one on average. */
    const part = (at: number): number => 1 + 0.33 * ((names.length - 1) / 2 - at)
    const daily = Array.from({ length: days }, (_, index) => {
      const date = new Date(Date.parse(since) + index * DAY_MS)
      const isWeekend = [0, 6].includes(date.getUTCDay())
      const height = (isWeekend ? 6 : 30 + 14 * Math.sin(index / 3) + (index % 5) * 3) * share
      return names.map((name, at) => {
        const credits = Math.round(((height * 1.6 * part(at)) / names.length) * 100) / 100
        return { day: date.toISOString().slice(0, 10), split: name, ...sumsOf(credits) }
      })
    }).flat()
    const asked = this.keys.find(({ name }) => name === query.get('key'))
    if (this.isUnused || asked?.last_30_days?.requests === 0) {
      return ok({ by, split: null, since, until, rows: [], total: sumsOf(0), truncated: false })
    }
    const rows =
      by === 'day'
        ? daily
        : names.map((name) => ({ [by]: name, ...total(daily.filter((row) => row.split === name)) }))
    if (query.get('format') === 'csv')
      return { status: 200, body: 'day,credits\n', type: 'text/csv' }
    return ok({
      by,
      split: query.get('split'),
      since,
      until,
      rows,
      total: total(daily),
      truncated: false
    })
  }

  #requests(query: URLSearchParams): Answer {
    const rows = Array.from({ length: this.isUnused ? 0 : 400 }, (_, index) =>
      this.#row(index)
    ).filter(
      (row) =>
        (!query.has('key') || row.key === query.get('key')) &&
        (!query.has('model') || row.model === query.get('model')) &&
        (!query.has('code') || row.code === query.get('code')) &&
        (!query.has('status') || String(row.status) === query.get('status')) &&
        (query.get('failed') !== 'true' || row.code !== '') &&
        (!query.has('id') || row.id.includes(query.get('id') ?? ''))
    )
    const from = Number(query.get('cursor') ?? 0)
    const limit = Number(query.get('limit') ?? 50)
    const next = from + limit < rows.length ? String(from + limit) : null
    return ok({
      requests: rows.slice(from, from + limit),
      next,
      complete: true,
      searched_to: this.#iso(-90 * DAY_MS)
    })
  }

  #request(n: string): Answer {
    const request = this.#row(Number(n))
    const url = 'https://github.com/kiro-gateway/kiro-gateway/blob/main/docs/errors.md'
    const about =
      request.code === ''
        ? null
        : { code: request.code, message: request.failure?.reason ?? '', url }
    return ok({ request, about, capture: null })
  }

  #row(index: number) {
    const at = this.#at - 90_000 - index * 61_000
    const item = madeUpRequest(90_000 - index, at)
    const { failure } = item
    const place = NAMES.findIndex((name) => name === item.key)
    return {
      n: String(index),
      id: item.id,
      at: new Date(at).toISOString(),
      times: 1,
      key: this.#names[place] ?? item.key,
      key_id: `k_${item.key}`,
      client: place === 0 ? this.#clients[0] : item.client,
      dialect: item.dialect,
      route: item.route,
      model: place === 0 ? this.#models[0] : item.model,
      model_asked: null,
      stream: true,
      status: item.status,
      code: item.code,
      fault: item.fault,
      failure: failure && {
        reason: failure.reason,
        detail: failure.detail,
        upstream_status: failure.upstreamStatus,
        upstream_request_id: failure.upstreamId
      },
      first_ms: item.firstMs,
      total_ms: item.totalMs,
      phases_ms: item.phasesMs,
      input_tokens: item.inputTokens,
      output_tokens: item.outputTokens,
      cached_tokens: item.cachedTokens,
      credits: item.credits,
      metering: item.metering,
      repairs: item.repairs,
      lost_calls: 0,
      attempts: item.attempts,
      worker: item.worker,
      body_bytes: item.bodyBytes
    }
  }

  #key(name: string, limit: number, used: number): MadeUpKey {
    const reserved = used === 0 ? 0 : 0.6
    const left = Math.max(0, limit - used - reserved)
    return {
      id: NAMES.some((one) => one === name) ? `k_${name}` : `k_${NAMES.length}`,
      name,
      state: 'active',
      version: '1',
      credits: {
        limit,
        period: 'month',
        used,
        reserved,
        left,
        resets_at: this.#iso(5 * DAY_MS),
        problem: null
      },
      requests_per_minute: null,
      max_streams: 24,
      models: null,
      overage: false,
      created_at: this.#iso(-40 * DAY_MS),
      expires_at: null,
      revoked_at: null,
      old_key_until: null,
      last_seen: used === 0 ? null : this.#iso(-90_000),
      today: sumsOf(Math.round(used * 5) / 100),
      last_30_days: sumsOf(Math.round(used * 115.4) / 100)
    }
  }

  #iso(ms: number): string {
    return new Date(this.#at + ms).toISOString()
  }
}

function total(rows: readonly Sums[]): Sums {
  return sumsOf(Math.round(rows.reduce((sum, { credits }) => sum + credits, 0) * 100) / 100)
}

function ok(body: unknown): Answer {
  return { status: 200, body }
}

function refused(
  status: number,
  code: string,
  message: string,
  param: string | null = null
): Answer {
  return { status, body: errorOf(code, message, param) }
}

function errorOf(code: string, message: string, param: string | null): object {
  return { error: { type: 'invalid_request_error', code, message, param } }
}

const SETTINGS = [
  setting('PROXY_API_KEY', 'set', 'file', 'Keys of the operator, separated by commas.', true),
  setting(
    'HTTP_MAX_CONNECTIONS',
    '300',
    'default',
    'Open connections to Kiro, of all workers together.'
  ),
  setting('LOG_LEVEL', 'info', 'environment', 'How much is logged.'),
  setting('SERVER_PORT', '8000', 'file', 'Port that clients connect to.', false, true),
  setting('MODEL_ALIASES', 'my-opus=claude-opus-5.5', 'file', 'Names of your own for models.')
]

function setting(
  name: string,
  value: string,
  source: string,
  meaning: string,
  isSecret = false,
  needsRestart = false
): object {
  return {
    name,
    value,
    default: null,
    source,
    is_secret: isSecret,
    needs_restart: needsRestart,
    meaning,
    pending: null
  }
}
