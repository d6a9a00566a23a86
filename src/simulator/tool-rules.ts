import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { badRequest, firstRefusal, improper, invalidBody, type Refusal } from './refusal.ts'
import type { RequestView } from './request-view.ts'

/** 63 is the strictest limit that was reported; what passes here passes everywhere. */
const TOOL_NAME = /^[a-zA-Z][a-zA-Z0-9_-]{0,62}$/
const MAX_DESCRIPTION_CHARS = 10_240
const MAX_SCHEMA_DEPTH = 100
const ROOT_COMBINATORS = ['oneOf', 'anyOf', 'allOf']
/** Keywords whose members are schemas under names of the user's choice. */
const NAMED_SCHEMAS: readonly string[] = ['properties', 'patternProperties', '$defs', 'definitions']
/** Keywords that hold values, not schemas. */
const VALUES: readonly string[] = ['enum', 'const', 'default', 'examples', 'example']

export interface OfferedTool {
  readonly name: string
  readonly schema: JsonObject
}

/** The tools of the current message; elements of a wrong shape are left out. */
export function offeredTools(view: RequestView): OfferedTool[] {
  return view.current.tools.flatMap((element) => {
    const tool = asJsonObject(asJsonObject(element)?.['toolSpecification'])
    const schema = asJsonObject(asJsonObject(tool?.['inputSchema'])?.['json'])
    const name = tool?.['name']
    return typeof name === 'string' && schema !== null ? [{ name, schema }] : []
  })
}

export function toolNamesOf(view: RequestView): string[] {
  return offeredTools(view).map((tool) => tool.name)
}

export function isToolName(value: unknown): boolean {
  return typeof value === 'string' && TOOL_NAME.test(value)
}

/** Names, descriptions and schemas of kiro-protocol §4.4, §4.10 and §4.11. */
export function checkTools(view: RequestView): Refusal | null {
  const names = new Set<unknown>()
  return firstRefusal(view.current.tools, (element, index) => {
    const tool = asJsonObject(asJsonObject(element)?.['toolSpecification'])
    if (tool === null || Object.keys(element ?? {}).length !== 1) {
      return improper(`tools[${index}] must be one toolSpecification (no cachePoint)`)
    }
    const { name, description } = tool
    if (!isToolName(name)) return invalidBody(`tools[${index}] has a name that is not allowed`)
    if (names.has(name)) {
      return badRequest(`Duplicate tool name: ${String(name)}`, 'TOOL_DUPLICATE', 'tool names')
    }
    names.add(name)
    if (typeof description !== 'string' || description.trim() === '') {
      return invalidBody(`tools[${index}] has no description`)
    }
    if (description.length > MAX_DESCRIPTION_CHARS) {
      return invalidBody(
        `tools[${index}] has over ${MAX_DESCRIPTION_CHARS} characters of description`
      )
    }
    return checkSchema(asJsonObject(tool['inputSchema'])?.['json'], index)
  })
}

function checkSchema(value: unknown, index: number): Refusal | null {
  const schema = asJsonObject(value)
  if (schema === null || schema['type'] !== 'object') {
    return schemaRefusal(index, "input_schema must have type 'object'")
  }
  if (ROOT_COMBINATORS.some((name) => name in schema)) {
    const problem = 'input_schema does not support oneOf, allOf, or anyOf at the top level'
    return schemaRefusal(index, problem)
  }
  const problem = keywordProblem(schema, 0)
  return problem === null ? null : schemaRefusal(index, problem)
}

/** The keywords that the upstream refuses at any depth; a property may have their names. */
function keywordProblem(schema: JsonObject, depth: number): string | null {
  if (depth > MAX_SCHEMA_DEPTH) return `schemas nest at most ${MAX_SCHEMA_DEPTH} deep`
  if ('additionalProperties' in schema) return "keyword 'additionalProperties' is not supported"
  const { required, properties } = schema
  if (required !== undefined && !isNameList(required)) return "'required' must list names"
  if (properties !== undefined && asJsonObject(properties) === null) {
    return "'properties' must be an object"
  }
  for (const [keyword, value] of Object.entries(schema)) {
    if (VALUES.includes(keyword)) continue
    for (const nested of nestedSchemas(keyword, value)) {
      const problem = keywordProblem(nested, depth + 1)
      if (problem !== null) return problem
    }
  }
  return null
}

function nestedSchemas(keyword: string, value: unknown): JsonObject[] {
  if (Array.isArray(value)) return value.map(asJsonObject).filter((item) => item !== null)
  const object = asJsonObject(value)
  if (object === null) return []
  if (!NAMED_SCHEMAS.includes(keyword)) return [object]
  return Object.values(object)
    .map(asJsonObject)
    .filter((item) => item !== null)
}

function isNameList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string')
}

function schemaRefusal(index: number, problem: string): Refusal {
  return badRequest(
    `tools.${index}.custom.input_schema: ${problem}`,
    'TOOL_SCHEMA_INVALID',
    problem
  )
}
