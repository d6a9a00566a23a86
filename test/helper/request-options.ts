import type { RequestOptions } from '../../src/dialects/request-options.ts'
import { BUILT_IN_MODELS } from '../../src/kiro/models.ts'

/** The options of a gateway with default settings that has not seen the upstream's catalogue yet. */
export function requestOptions(changes: Partial<RequestOptions> = {}): RequestOptions {
  return {
    aliases: {},
    models: BUILT_IN_MODELS,
    isCatalogueLive: false,
    toolDescriptionMaxLength: 10_000,
    toolMaxCount: 120,
    fakeReasoning: { isEnabled: true, maxTokens: 4000, budgetCap: 10_000 },
    ...changes
  }
}
