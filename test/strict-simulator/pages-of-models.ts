import { type JsonObject, parseJsonObject, textMember } from '../../src/shared/json.ts'
import { MODELS } from '../../src/simulator/models.ts'

/** Models (kiro-protocol §7.4), in pages if `maxResults` is given. `nextToken` is the index at which the next page begins. */
export function pageOfModels(query: URLSearchParams, body: string): JsonObject {
  const request = parseJsonObject(body) ?? {}
  const maxResults = Math.floor(Number(query.get('maxResults') ?? request['maxResults'] ?? 0))
  const start = Number(query.get('nextToken') ?? textMember(request, 'nextToken') ?? 0) || 0
  const end = start + (maxResults >= 1 ? maxResults : MODELS.length)
  return {
    models: MODELS.slice(start, end),
    defaultModel: { modelId: 'auto' },
    nextToken: end < MODELS.length ? String(end) : null
  }
}
