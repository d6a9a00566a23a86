import type { WebSearchPlan } from '../dialects/round-plan.ts'
import type { AnswerSink } from '../reply/answer-sink.ts'
import type { DataPlane } from './data-plane.ts'
import { RoundSearches } from './round-searches.ts'
import { searchWeb, type WebSearch } from './search-web.ts'

/** What the searches of one answer share. */
export interface SearchContext extends Omit<WebSearch, 'query' | 'onSent'> {
  readonly sink: AnswerSink
}

/** The searches of one answer, made through the upstream and shown to the client as soon as they are made. */
export function createSearches(
  plane: DataPlane,
  context: SearchContext,
  plan: WebSearchPlan
): RoundSearches {
  const { sink, signal } = context
  return new RoundSearches({
    plan,
    search: async (query) => {
      try {
        return await searchWeb(plane, { ...context, query, onSent: () => sink.onSent() })
      } finally {
        sink.onIdle()
      }
    },
    show: (part) => {
      sink.push(part)
      sink.flush()
      return sink.whenDrained(signal)
    }
  })
}
