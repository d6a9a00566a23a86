import { type RuleId, UpstreamLimits } from '../../src/kiro/rules/rules.ts'
import { COMBINATORS, SCHEMA_MAPS, VALUES } from '../../src/kiro/schema/keywords.ts'
import { asJsonObject, isJsonObject, type JsonObject } from '../../src/shared/json.ts'
import { offeredTools, type RequestView } from '../../src/simulator/request-view.ts'
import { firstRefusal, improper, invalidBody, type StrictRefusal } from './refusals.ts'

const KEYWORDS = 'tool-schema-keywords' satisfies RuleId
const TOOL_NAME = /^[a-zA-Z][a-zA-Z0-9_-]*$/
const { toolNameChars, tools: maxTools, descriptionChars, schemaDepth } = UpstreamLimits

type SchemaProblem = readonly [rule: RuleId, violation: string]

export function toolNamesOf(view: RequestView): string[] {
  return offeredTools(view).map((tool) => tool.name)
}

export function isToolName(value: unknown): boolean {
  return typeof value === 'string' && value.length <= toolNameChars && TOOL_NAME.test(value)
}

/** Names, descriptions and schemas (kiro-protocol §4.4, §4.10 and §4.11). */
export function checkTools(view: RequestView): StrictRefusal | null {
  const { tools } = view.current
  if (tools.length > maxTools) return improper('tool-count', `more than ${maxTools} tools`)
  const names = new Set<unknown>()
  return firstRefusal(tools, (element, index) => {
    const tool = asJsonObject(asJsonObject(element)?.['toolSpecification'])
    if (tool === null || Object.keys(element ?? {}).length !== 1) {
      const isCachePoint = asJsonObject(element)?.['cachePoint'] !== undefined
      const rule = isCachePoint ? 'cache-point' : 'tool-function'
      return improper(rule, `tools[${index}] must be one toolSpecification`)
    }
    const { name, description } = tool
    if (!isToolName(name)) {
      return invalidBody('tool-name', `tools[${index}] has a name that is not allowed`)
    }
    if (names.has(name)) {
      const message = `Duplicate tool name: ${String(name)}`
      return improper('tool-name-unique', 'a tool name appears twice', message, 'TOOL_DUPLICATE')
    }
    names.add(name)
    if (typeof description !== 'string' || description.trim() === '') {
      return invalidBody('tool-description', `tools[${index}] has no description`)
    }
    if (description.length > descriptionChars) {
      const violation = `tools[${index}] has over ${descriptionChars} characters of description`
      return invalidBody('tool-description-length', violation)
    }
    return checkSchema(asJsonObject(tool['inputSchema'])?.['json'], index)
  })
}

function checkSchema(value: unknown, index: number): StrictRefusal | null {
  const schema = asJsonObject(value)
  if (schema === null || schema['type'] !== 'object') {
    return schemaRefusal(index, ['tool-schema-type', "input_schema must have type 'object'"])
  }
  if (COMBINATORS.some((name) => name in schema)) {
    const violation = 'input_schema does not support oneOf, allOf, or anyOf at the top level'
    return schemaRefusal(index, ['tool-schema-root', violation])
  }
  const problem = keywordProblem(schema, 0)
  return problem === null ? null : schemaRefusal(index, problem)
}

/** Refused keywords at any depth; properties may have their names. */
function keywordProblem(schema: JsonObject, depth: number): SchemaProblem | null {
  if (depth > schemaDepth) {
    return ['tool-schema-depth', `schemas nest at most ${schemaDepth} deep`]
  }
  if ('additionalProperties' in schema) {
    return [KEYWORDS, "keyword 'additionalProperties' is not supported"]
  }
  const { required, properties } = schema
  if (required !== undefined && !isNameList(required)) {
    return [KEYWORDS, "'required' must list names"]
  }
  if (properties !== undefined && asJsonObject(properties) === null) {
    return [KEYWORDS, "'properties' must be an object"]
  }
  for (const [keyword, value] of Object.entries(schema)) {
    if (VALUES.has(keyword)) continue
    for (const nested of nestedSchemas(keyword, value)) {
      const problem = keywordProblem(nested, depth + 1)
      if (problem !== null) return problem
    }
  }
  return null
}

function nestedSchemas(keyword: string, value: unknown): JsonObject[] {
  if (Array.isArray(value)) return value.filter(isJsonObject)
  const object = asJsonObject(value)
  if (object === null) return []
  return SCHEMA_MAPS.has(keyword) ? Object.values(object).filter(isJsonObject) : [object]
}

function isNameList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string')
}

function schemaRefusal(index: number, [rule, violation]: SchemaProblem): StrictRefusal {
  const message = `tools.${index}.custom.input_schema: ${violation}`
  return improper(rule, violation, message, 'TOOL_SCHEMA_INVALID')
}
