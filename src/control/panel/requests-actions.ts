import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../../config/settings.ts'
import { faultOf } from '../../dashboard/failures.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { isMeant, spanOf } from '../../keys/key-text.ts'
import { MICROS_PER_CREDIT } from '../../keys/key.ts'
import { idInName } from '../../observe/debug-name.ts'
import { toIso } from '../../shared/dates.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import { parseFacts } from '../book/row-facts.ts'
import type { FoundRow } from '../usage/search-messages.ts'
import type { UsageSearcher } from '../usage/usage-searcher.ts'
import { answer, panelError } from './panel-answer.ts'

export interface RequestsActionsOptions {
  readonly searcher: Pick<UsageSearcher, 'ask'>
  readonly config: () => Config
}

const USUAL_LIMIT = 50
const MAX_LIMIT = 200
const MAX_TEXT_CHARS = 256
/** Time of one look; the page goes on with the next if that was too short. */
const SEARCH_MS = 700
const ERRORS_PAGE = 'https://github.com/kiro-gateway/kiro-gateway/blob/main/docs/errors.md'

/** Requests that have ended, as far back as they are kept. */
export class RequestsActions {
  readonly #options: RequestsActionsOptions

  constructor(options: RequestsActionsOptions) {
    this.#options = options
  }

  async list({ query, user }: PanelCall): Promise<PanelAnswer> {
    const now = Date.now()
    const keys = await this.keysIn(query['key'], user.key)
    const found = await this.#options.searcher.ask({
      type: 'requests',
      search: {
        keys,
        model: textIn(query, 'model'),
        client: textIn(query, 'client'),
        status: countIn(query, 'status', 599),
        code: textIn(query, 'code'),
        isFailed: query['failed'] === 'true' || query['failed'] === '1',
        id: textIn(query, 'id'),
        since: timeIn(query, 'since', now) ?? 0,
        until: timeIn(query, 'until', now) ?? Number.MAX_SAFE_INTEGER,
        before: countIn(query, 'cursor', Number.MAX_SAFE_INTEGER),
        limit: Math.min(countIn(query, 'limit', MAX_LIMIT) ?? USUAL_LIMIT, MAX_LIMIT),
        timeMs: SEARCH_MS
      }
    })
    return answer({
      requests: (found?.rows ?? []).map(toJson),
      next: found === null || found.next === null ? null : String(found.next),
      complete: found?.isComplete ?? true,
      searched_to: toIso(found?.searchedTo ?? null)
    })
  }

  async show({ params, user }: PanelCall): Promise<PanelAnswer> {
    const n = Number(params['n'])
    const keys = user.key === null ? null : [user.key]
    const row = Number.isSafeInteger(n)
      ? await this.#options.searcher.ask({ type: 'request', n, keys })
      : null
    if (row === null) throw panelError('GW_NOT_FOUND', 'There is no such request, or not any more.')
    const capture = user.role === 'operator' ? await this.#captureOf(row.requestId) : null
    return answer({ request: toJson(row), about: aboutCode(row.code), capture })
  }

  /** Ids of the keys that a text means, also of former ones; `null` for all. */
  async keysIn(text: string | undefined, own: string | null): Promise<readonly string[] | null> {
    if (own !== null) return [own]
    if (text === undefined || text === '') return null
    const names = (await this.#options.searcher.ask({ type: 'names' })) ?? []
    const ids = names.filter(([id, name]) => isMeant({ id, name }, text)).map(([id]) => id)
    return [...ids, text, text.trim().toLowerCase()] // which may be `operator`
  }

  async #captureOf(id: string) {
    const { keepsContent, debugDir } = this.#options.config().observe
    if (!keepsContent || id === '') return null
    const folder = join(debugDir, 'captures')
    const names = await readdir(folder).catch(() => [])
    const name = names.findLast(
      (one) => one.includes(`-${idInName(id)}-`) && !one.endsWith('.open')
    )
    if (name === undefined) return null
    const path = join(folder, name)
    return { folder: path, replay: `kiro-gateway replay ${JSON.stringify(path)}` }
  }
}

function aboutCode(code: string) {
  if (!Object.hasOwn(ErrorTable, code)) return null
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it is one of the table
  const { message } = ErrorTable[code as keyof typeof ErrorTable]
  return { code, message, url: `${ERRORS_PAGE}#${code.toLowerCase()}` }
}

function toJson(row: FoundRow) {
  const facts = parseFacts(row.facts)
  const { failure } = facts
  return {
    n: String(row.n),
    id: row.requestId,
    at: toIso(row.at),
    times: row.times,
    key: row.name,
    key_id: row.key,
    client: row.client,
    dialect: row.dialect,
    route: facts.route,
    model: row.model,
    model_asked: facts.modelAsked,
    stream: facts.isStream,
    status: row.status,
    code: row.code,
    fault: row.code === '' ? null : faultOf(row.code, row.key === 'kiro' ? 'client' : 'gateway'),
    failure:
      failure === null
        ? null
        : {
            reason: failure.reason,
            upstream_status: failure.upstreamStatus,
            upstream_request_id: failure.upstreamId
          },
    first_ms: row.firstMs,
    total_ms: row.totalMs,
    phases_ms: facts.phaseMs,
    input_tokens: row.inputTokens,
    output_tokens: row.outputTokens,
    cached_tokens: row.cachedTokens,
    credits: row.credits / MICROS_PER_CREDIT,
    metering: row.metering ?? null,
    repairs: facts.repairs,
    lost_calls: facts.lostCalls,
    attempts: facts.attempts,
    worker: facts.worker,
    body_bytes: row.facts === '' ? null : facts.bodyBytes
  }
}

export function textIn(query: PanelCall['query'], name: string): string | null {
  const text = query[name]?.trim() ?? ''
  return text === '' ? null : text.slice(0, MAX_TEXT_CHARS)
}

/** @throws {GatewayError} GW_FIELD_INVALID */
export function countIn(query: PanelCall['query'], name: string, max: number): number | null {
  const text = query[name]?.trim() ?? ''
  if (text === '') return null
  const count = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (count >= 1 && count <= max) return count
  throw panelError('GW_FIELD_INVALID', `"${name}" is a whole number from 1 to ${max}.`, name)
}

/** Epoch ms of `7d`, `2026-11-30` or a time. @throws {GatewayError} GW_FIELD_INVALID */
export function timeIn(query: PanelCall['query'], name: string, now: number): number | null {
  const text = query[name]?.trim() ?? ''
  if (text === '') return null
  const span = spanOf(text)
  const at = Number.isNaN(span) ? Date.parse(text) : now - span
  if (!Number.isNaN(at)) return at
  const message = `"${name}" is a duration such as 7d, a day such as 2026-11-30, or a time.`
  throw panelError('GW_FIELD_INVALID', message, name)
}
