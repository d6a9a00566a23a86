import { toWireToolName } from '../kiro/conversation/tools.ts'
import { type JsonObject, parseJsonObject } from '../shared/json.ts'
import type { OfferedTool } from './request-view.ts'
import { sampleArguments } from './sample-json.ts'

export interface WishedCall {
  readonly name: string
  readonly input: JsonObject
}

/** `call tool f`, `use the tools f and g`, `invoke function f with {…}`. */
const LIST_FORM = /\b(?:call|use|invoke|run)\s+(?:the\s+)?(?:tools?|functions?)\s+/gi
/** `use the f tool`. */
const NAME_FORM =
  /\b(?:call|use|invoke|run)\s+(?:the\s+)?(?=[`"']?[\w.:/-]+[`"']?\s+(?:tool|function)\b)/gi
const NAME = /[`"']?([\w.:/-]*[\w])[`"']?(?:\s+(?:tool|function)\b)?/y
const WITH = /\s+with\s+(?:the\s+)?(?:arguments\s+|args\s+|input\s+)?(?=\{)/y
const SEPARATOR = /(?:\s*,\s*and\s+|\s*,\s*|\s+and\s+|\s*&\s*)/y

/** A name that is not offered ends the list. */
export function findWishedCalls(prompt: string, tools: readonly OfferedTool[]): WishedCall[] {
  if (tools.length === 0) return []
  for (const form of [LIST_FORM, NAME_FORM]) {
    for (const match of prompt.matchAll(form)) {
      const calls = readCalls(prompt, match.index + match[0].length, tools)
      if (calls.length > 0) return calls
    }
  }
  return []
}

function readCalls(prompt: string, start: number, tools: readonly OfferedTool[]): WishedCall[] {
  const calls: WishedCall[] = []
  let at = start
  while (at < prompt.length) {
    const name = matchAt(NAME, prompt, at)
    const tool = name === null ? undefined : findTool(tools, name[1] ?? '')
    if (name === null || tool === undefined) break
    at += name[0].length
    const given = readArguments(prompt, at)
    calls.push({ name: tool.name, input: given?.input ?? sampleArguments(tool.schema) })
    at = given?.end ?? at
    const separator = matchAt(SEPARATOR, prompt, at)
    if (separator === null) break
    at += separator[0].length
  }
  return calls
}

/** The prompt has the client's tool name, which may have been cleaned and shortened on its way. */
function findTool(tools: readonly OfferedTool[], wished: string): OfferedTool | undefined {
  const clean = wished.replace(/[^A-Za-z0-9_-]/g, '_').toLowerCase()
  const wireName = toWireToolName(wished)
  return (
    tools.find((tool) => tool.name.toLowerCase() === clean) ??
    tools.find((tool) => tool.name === wireName)
  )
}

function readArguments(
  prompt: string,
  at: number
): { readonly input: JsonObject; readonly end: number } | null {
  const words = matchAt(WITH, prompt, at)
  if (words === null) return null
  const start = at + words[0].length
  const end = endOfObject(prompt, start)
  const input = end === null ? null : parseJsonObject(prompt.slice(start, end))
  return end === null || input === null ? null : { input, end }
}

function endOfObject(text: string, start: number): number | null {
  let depth = 0
  let inString = false
  for (let i = start; i < text.length; i++) {
    const char = text.charAt(i)
    if (inString) {
      if (char === '\\') i++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{') depth++
    else if (char === '}' && --depth === 0) return i + 1
  }
  return null
}

function matchAt(sticky: RegExp, text: string, at: number): RegExpExecArray | null {
  const pattern = new RegExp(sticky) // a copy: `lastIndex` is state
  pattern.lastIndex = at
  return pattern.exec(text)
}
