import type { IncomingMessage } from 'node:http'
import {
  AUTO_MODEL,
  canonicalModelId,
  findModel,
  type ModelFacts,
  modelUnknown,
  listedNames,
  normaliseModelName,
  resolveModel
} from '../../kiro/models/models.ts'
import { mayAskModel, modelNotAllowed } from '../../kiro/models/model-access.ts'
import type { NamedKey } from '../../keys/key.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { PassthroughKeys } from './passthrough-keys.ts'
import { requestOptionsOf } from '../turn/body.ts'
import { clientFamilyOf } from '../worker/turn-record.ts'
import {
  type ListedModel,
  type ShapeOptions,
  toAnthropicList,
  toAnthropicModel,
  toOpenAiList,
  toOpenAiModel
} from './model-shapes.ts'
import { type Route, type RoutedRequest, sendJson } from './router.ts'

type ModelPlane = Pick<DataPlane, 'current' | 'models'>

/** Lists models and aliases in the shape of the asking API: Anthropic's clients send `anthropic-version`. */
export function modelRoutes(own: DataPlane, keys: PassthroughKeys): readonly Route[] {
  const planeOf = async ({ kiroKey, response }: RoutedRequest): Promise<ModelPlane> =>
    kiroKey === null ? own : keys.planeWithModels(kiroKey, response)
  const serveList: Route['serve'] = async (routed) => {
    const { request } = routed
    const toList = isAnthropic(request) ? toAnthropicList : toOpenAiList
    const { namedKey } = routed
    const plane = await planeOf(routed)
    const models = listOf(plane).filter((model) => isAllowed(namedKey, model))
    const hasDashes = clientFamilyOf(request.headers['user-agent']) === 'claude-code'
    sendJson(routed, 200, toList(models, { ...shapeOptionsOf(plane), hasDashes }))
  }
  const serveModel: Route['serve'] = async (routed) => {
    const { id = '' } = routed.params
    const plane = await planeOf(routed)
    const model = findModelOf(id, plane, routed.namedKey)
    const toModel = isAnthropic(routed.request) ? toAnthropicModel : toOpenAiModel
    sendJson(routed, 200, toModel({ ...model, id }, shapeOptionsOf(plane)))
  }
  return ['/v1/models', '/models', '/anthropic/v1/models'].flatMap((path) => [
    { method: 'GET', path, serve: serveList },
    { method: 'GET', path: `${path}/:id`, serve: serveModel }
  ])
}

function isAllowed(key: NamedKey | null, { id, facts }: ListedModel): boolean {
  return key === null || mayAskModel(key.models, facts === undefined ? [id] : [id, facts.id])
}

function shapeOptionsOf(plane: ModelPlane): ShapeOptions {
  return { searches: plane.current.config.tools.webSearch }
}

/** Lists `auto` under a second name, too: Cursor uses the word itself. */
function listOf(plane: ModelPlane): readonly ListedModel[] {
  const { aliases, windows } = plane.current.config.models
  const { models } = plane.models.catalogue
  const listed = models.map((facts) => toListed(facts, windows))
  const aliased = Object.entries(aliases).map(([id, target]): ListedModel => {
    const facts = findModel(models, target)
    if (facts === undefined) return { id, name: id, ownedBy: ownerOf(target) }
    return { ...toListed(facts, windows), id, ownedBy: ownerOf(target) }
  })
  return [...aliased, ...listed.filter((model) => !Object.hasOwn(aliases, model.id))]
}

/**
 * Takes any accepted spelling, and finds what would answer for an unlisted model.
 * @throws {GatewayError} GW_MODEL_UNKNOWN, GW_MODEL_NOT_ALLOWED
 */
function findModelOf(id: string, plane: ModelPlane, namedKey: NamedKey | null): ListedModel {
  const options = requestOptionsOf(plane, namedKey)
  const { access } = options
  const models = listOf(plane)
  const wanted = canonicalModelId(normaliseModelName(id).id)
  const listed =
    models.find((one) => one.id === id) ?? models.find((one) => canonicalModelId(one.id) === wanted)
  if (listed === undefined) {
    const { facts } = resolveModel(id, options)
    if (facts === undefined) throw modelUnknown(id, options)
    return toListed(facts, plane.current.config.models.windows)
  }
  if (access !== undefined && !isAllowed(namedKey, listed))
    throw modelNotAllowed(access, id, listedNames(options))
  return listed
}

function toListed(facts: ModelFacts, windows: Readonly<Record<string, string>>): ListedModel {
  const { id, name } = facts
  const own = windows[id]
  const maxInputTokens = own === undefined ? facts.maxInputTokens : Number(own)
  return { id, name, ownedBy: ownerOf(id), facts: { ...facts, maxInputTokens } }
}

function ownerOf(id: string): string {
  if (id.startsWith('claude')) return 'anthropic'
  if (id.startsWith('gpt')) return 'openai'
  return id === AUTO_MODEL ? 'kiro' : (id.split('-')[0] ?? 'kiro')
}

function isAnthropic({ headers }: IncomingMessage): boolean {
  return headers['anthropic-version'] !== undefined
}
