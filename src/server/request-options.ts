import type { RequestOptions } from '../dialects/request-options.ts'
import type { DataPlane } from './data-plane.ts'

/** What a conversion must know of settings and catalogue as they are now. */
export function requestOptionsOf(plane: Pick<DataPlane, 'config' | 'catalogue'>): RequestOptions {
  const config = plane.config()
  const { models, isLive } = plane.catalogue()
  return {
    aliases: config.models.aliases,
    models,
    isCatalogueLive: isLive,
    toolDescriptionMaxLength: config.tools.descriptionMaxLength,
    toolMaxCount: config.tools.maxCount,
    servesWebSearch: config.tools.webSearch,
    fakeReasoning: config.reasoning
  }
}
