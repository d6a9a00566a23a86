import type { RequestOptions } from '../../src/dialects/request/to-upstream.ts'
import { BUILT_IN_MODELS, parseModelPage } from '../../src/kiro/models/models.ts'
import { MODELS } from '../../src/simulator/models.ts'

/** The options of a gateway with default settings that has not seen the upstream's catalogue yet. */
export function requestOptions(changes: Partial<RequestOptions> = {}): RequestOptions {
  return {
    aliases: {},
    models: BUILT_IN_MODELS,
    isCatalogueLive: false,
    toolDescriptionMaxLength: 10_000,
    toolMaxCount: 120,
    servesWebSearch: true,
    fakeReasoning: { isEnabled: true, maxTokens: 4000, budgetCap: 10_000 },
    ...changes
  }
}

/** An earlier answer with these items, for `RequestOptions.answers`. */
export function toAnswer(items: Readonly<Record<string, unknown>>): Uint8Array {
  return Buffer.from(JSON.stringify(items))
}

/** As `requestOptions()`, once the simulator has told which models there are. */
export function simulatorOptions(changes: Partial<RequestOptions> = {}): RequestOptions {
  const { models } = parseModelPage({ models: MODELS })
  return requestOptions({ models, isCatalogueLive: true, ...changes })
}
