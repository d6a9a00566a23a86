import { toWireToolName } from '../../kiro/identifiers.ts'
import { isJsonObject, type JsonObject } from '../../kiro/json-object.ts'
import { isBlank } from '../../kiro/message.ts'
import type { Repairs } from '../../kiro/repairs.ts'
import { checkShape } from '../check-shape.ts'
import { isSearchTool, readSearchWish } from '../search-tool.ts'
import { customDescription, CUSTOM_SCHEMA } from './custom-tool.ts'
import { type DeclaredTools, SEARCH_NAME } from './declared-tools.ts'
import { Tools } from './tool-schema.ts'

/** Where a list of tools stands, and who takes its tools. */
export interface ToolPlace {
  /** From the body's root, for error messages. */
  readonly path: string
  readonly declared: DeclaredTools
  readonly repairs: Repairs
  readonly namespace?: string
}

const NO_PARAMETERS = { type: 'object', properties: {} }

const QUERY_SCHEMA = {
  type: 'object',
  properties: { query: { type: 'string' } },
  required: ['query']
}

/**
 * Declares the tools of a list and gives back what its namespaces say of themselves. Tools that only the vendor
 * can run are left out, but for the search of the web; deferred ones are offered as soon as they are listed.
 *
 * @throws {GatewayError} GW_BODY_INVALID
 */
export function declareTools(
  tools: readonly JsonObject[] | null | undefined,
  place: ToolPlace
): readonly string[] {
  return (tools ?? []).flatMap((tool, index) =>
    declareTool(tool, { ...place, path: `${place.path}[${index}]` })
  )
}

function declareTool(tool: JsonObject, place: ToolPlace): readonly string[] {
  const { path, declared, repairs } = place
  switch (checkShape(Tools.any, tool, path).type ?? 'function') {
    case 'function':
      declareFunction(tool, place)
      return []
    case 'custom':
      declareCustom(tool, place)
      return []
    case 'namespace':
      return declareNamespace(tool, place)
    case SEARCH_NAME:
      declareSearch(tool, place)
      return []
    default:
      if (isSearchTool(tool)) declared.declareSearch(readSearchWish(tool, path))
      else repairs.note('server-tool-dropped', path)
      return []
  }
}

/** Functions come flat, or nested as Chat Completions has them. */
function declareFunction(tool: JsonObject, { path, declared, namespace }: ToolPlace): void {
  const { function: nested } = tool
  const isNested = isJsonObject(nested)
  const source = isNested ? `${path}.function` : path
  const named = checkShape(Tools.function, isNested ? nested : tool, source)
  const { name, description, parameters, input_schema: schema } = named
  declared.declare(
    { kind: 'function', name, ...(namespace !== undefined && { namespace }) },
    {
      description: description ?? '',
      // A function without parameters is one that takes none.
      schema: parameters ?? schema ?? NO_PARAMETERS,
      source,
      schemaSource: `${source}.${parameters || !schema ? 'parameters' : 'input_schema'}`
    }
  )
}

function declareCustom(tool: JsonObject, { path, declared, namespace }: ToolPlace): void {
  const { custom: nested } = tool
  const custom = isJsonObject(nested)
    ? checkShape(Tools.custom, nested, `${path}.custom`)
    : checkShape(Tools.custom, tool, path)
  declared.declare(
    { kind: 'text', name: custom.name, ...(namespace !== undefined && { namespace }) },
    { description: customDescription(custom), schema: CUSTOM_SCHEMA, source: path }
  )
}

function declareNamespace(tool: JsonObject, place: ToolPlace): readonly string[] {
  const { name, description, tools } = checkShape(Tools.namespace, tool, place.path)
  const notes = declareTools(tools, { ...place, path: `${place.path}.tools`, namespace: name })
  const isDescribed = tools && tools.length > 0 && !isBlank(description ?? '')
  return isDescribed ? [`${wordNamespace(name)} ${description}`, ...notes] : notes
}

function wordNamespace(name: string): string {
  return `The tools named "${toWireToolName(`${name}__`)}…":`
}

/** Only a search that the client makes is a tool for it; what the vendor would search is all on offer. */
function declareSearch(tool: JsonObject, { path, declared, repairs }: ToolPlace): void {
  const { description, execution, parameters } = checkShape(Tools.search, tool, path)
  if (execution !== 'client') {
    repairs.note('server-tool-dropped', path)
    return
  }
  declared.declare(
    { kind: 'search', name: SEARCH_NAME },
    {
      description: description ?? 'Searches for more tools and makes them available.',
      schema: parameters ?? QUERY_SCHEMA,
      source: path,
      schemaSource: `${path}.parameters`
    }
  )
}

/** What a search for tools found, in words; the tools themselves are on offer by then. */
export function wordFoundTools(
  tools: readonly JsonObject[] | null | undefined,
  declared: DeclaredTools
): string {
  const lines = (tools ?? []).flatMap((tool) => wordFound(tool, declared))
  return lines.length === 0
    ? 'No tools were found.'
    : ['These tools are available now:', ...lines].join('\n')
}

function wordFound(
  tool: JsonObject,
  declared: DeclaredTools,
  namespace?: string
): readonly string[] {
  const { type, name, tools, description } = tool
  if (typeof name !== 'string') return []
  if (type !== 'namespace') return [`- ${toWireToolName(declared.fullNameOf(name, namespace))}`]
  const inner = Array.isArray(tools) ? tools.filter(isJsonObject) : []
  const about = typeof description === 'string' && !isBlank(description) ? [description] : []
  return [...about, ...inner.flatMap((one) => wordFound(one, declared, name))]
}
