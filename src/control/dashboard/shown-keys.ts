import type { KeyStatus, KeyStatuses } from '../../dashboard/feed.ts'
import { type KeyCredits, UNNAMED_KEYS, type UnnamedKey } from '../../ipc/usage-row.ts'
import { type KnownKeys, MICROS_PER_CREDIT, type NamedKey, whyRefused } from '../../keys/key.ts'
import type { MetricReader } from './metric-reader.ts'

/** The page shows the busiest of possibly thousands. */
const MAX_SHOWN = 200

/** Metrics count by name, which old keys may share. */
export function toKeyStatuses(
  all: MetricReader,
  knownKeys: Pick<KnownKeys, 'keys'>,
  creditsOf: (key: NamedKey) => KeyCredits | null
): KeyStatuses {
  const figures = keyFigures(all)
  const now = Date.now()
  const named = knownKeys.keys
    .filter(({ name, revokedAt }) => revokedAt === null || figures.requests.has(name))
    .map((key) => ({ ...toStatus(key, now, creditsOf(key)), ...figures.of(key.name) }))
  const unnamed = UNNAMED_KEYS.filter((name) => figures.requests.has(name)).map((name) => ({
    ...toUnnamed(name),
    ...figures.of(name)
  }))
  const list = [...named, ...unnamed].toSorted(
    (one, other) =>
      other.streams + other.waiting - one.streams - one.waiting ||
      other.requests - one.requests ||
      one.name.localeCompare(other.name)
  )
  return {
    more: Math.max(0, list.length - MAX_SHOWN),
    list: list.slice(0, MAX_SHOWN)
  }
}

type Counted = Pick<
  KeyStatus,
  'streams' | 'waiting' | 'requests' | 'inputTokens' | 'outputTokens' | 'creditsTotal'
>
type Status = Omit<KeyStatus, keyof Counted>

function keyFigures(all: MetricReader) {
  const requests = all.by('kiro_gateway_key_requests_total', 'key')
  const credits = all.by('kiro_gateway_key_credits_total', 'key')
  const streams = all.by('kiro_gateway_key_streams', 'key')
  const waiting = all.by('kiro_gateway_key_waiting', 'key')
  const tokens = (type: string) =>
    all.by('kiro_gateway_key_tokens_total', 'key', (labels) => labels['type'] === type)
  const [input, output] = [tokens('input'), tokens('output')]
  return {
    requests,
    of: (name: string): Counted => ({
      streams: streams.get(name) ?? 0,
      waiting: waiting.get(name) ?? 0,
      requests: requests.get(name) ?? 0,
      inputTokens: input.get(name) ?? 0,
      outputTokens: output.get(name) ?? 0,
      creditsTotal: credits.get(name) ?? 0
    })
  }
}

function toStatus(key: NamedKey, now: number, credits: KeyCredits | null): Status {
  const { id, name, maxStreams, requestsPerMinute, models, expiresAt } = key
  const state = whyRefused(key, now) ?? 'active'
  return {
    id,
    name,
    state,
    maxStreams,
    requestsPerMinute,
    models,
    expiresAt,
    credits:
      credits === null
        ? null
        : {
            limit: credits.limit / MICROS_PER_CREDIT,
            period: credits.period,
            used: credits.used / MICROS_PER_CREDIT,
            reserved: credits.reserved / MICROS_PER_CREDIT,
            resetsAt: credits.endsAt
          }
  }
}

function toUnnamed(name: UnnamedKey): Status {
  const limits = { maxStreams: null, requestsPerMinute: null, models: null, expiresAt: null }
  return { id: name, name, state: 'active', ...limits, credits: null }
}
