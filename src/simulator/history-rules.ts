import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { checkToolResult } from './message-rules.ts'
import { badRequest, firstRefusal, improper, invalidBody, type Refusal } from './refusal.ts'
import type { RequestView, Turn } from './request-view.ts'
import { isToolName, toolNamesOf } from './tool-rules.ts'

const MAX_ENTRIES = 10_000
const TOOL_USE_ID = /^[A-Za-z0-9_-]{1,64}$/

/** H1-H3 and H9 of kiro-protocol §4.7: who speaks when. */
export function checkOrder(view: RequestView): Refusal | null {
  const { history } = view
  if (history.length === 0) return null
  if (history.length > MAX_ENTRIES) return improper(`H9: more than ${MAX_ENTRIES} entries`)
  if (history[0]?.role !== 'user') return improper('H1: history begins with an assistant message')
  const repeated = history.findIndex((turn, i) => i > 0 && turn.role === history[i - 1]?.role)
  if (repeated !== -1) return improper(`H2: history[${repeated}] repeats the role before it`)
  return history.at(-1)?.role === 'user' ? improper('H3: history ends with a user message') : null
}

/** Shape, ids and names of every tool use and tool result (§4.5), H8 included. */
export function checkToolTurns(view: RequestView): Refusal | null {
  return firstRefusal([...view.history, view.current], (turn) =>
    turn.role === 'user'
      ? (checkIds(turn.toolResults) ?? firstRefusal(objectsOf(turn.toolResults), checkToolResult))
      : (checkIds(turn.toolUses) ?? firstRefusal(objectsOf(turn.toolUses), checkToolUse))
  )
}

/** H4 and H5: every result answers a call of the assistant right before it, and every call is answered. */
export function checkPairs(view: RequestView): Refusal | null {
  const turns: readonly Turn[] = [...view.history, view.current]
  return firstRefusal(turns, (turn, index) => {
    if (turn.role === 'assistant') return null
    const before = turns[index - 1]
    const asked = idsOf(before?.role === 'assistant' ? before.toolUses : [])
    const answered = idsOf(turn.toolResults)
    const orphan = answered.find((id) => !asked.includes(id))
    if (orphan !== undefined) return improper(`H4: nobody asked for the tool result ${orphan}`)
    const open = asked.find((id) => !answered.includes(id))
    return open === undefined ? null : improper(`H5: the tool use ${open} has no result`)
  })
}

/** H6 and H7: tool turns need tools, and each name used must be among them. */
export function checkToolsPresent(view: RequestView): Refusal | null {
  const turns: readonly Turn[] = [...view.history, view.current]
  const hasToolTurns = turns.some((turn) =>
    turn.role === 'user' ? turn.toolResults.length > 0 : turn.toolUses.length > 0
  )
  if (hasToolTurns && view.current.tools.length === 0) {
    return improper('H6: there are tool turns, but the current message has no tools')
  }
  const known = new Set(toolNamesOf(view).map((name) => name.toLowerCase()))
  const used = turns.flatMap((turn) => (turn.role === 'assistant' ? objectsOf(turn.toolUses) : []))
  const foreign = used.find((use) => !known.has(String(use['name']).toLowerCase()))
  if (foreign === undefined) return null
  return improper(`H7: the tool ${String(foreign['name'])} of the history is not among the tools`)
}

/** Tools are offered by the current message only (§4.4). */
export function checkHistoryTools(view: RequestView): Refusal | null {
  const index = view.history.findIndex((turn) => turn.role === 'user' && turn.tools.length > 0)
  return index === -1 ? null : improper(`history[${index}] carries tools`)
}

function checkIds(list: readonly unknown[]): Refusal | null {
  const ids = new Set<unknown>()
  return firstRefusal(list, (value) => {
    const id = asJsonObject(value)?.['toolUseId']
    if (typeof id !== 'string' || !TOOL_USE_ID.test(id)) {
      return invalidBody('toolUseId: 1 to 64 of A-Z a-z 0-9 _ -', 'Invalid tool use format.')
    }
    if (ids.has(id)) {
      return badRequest(`Duplicate tool use id: ${id}`, 'TOOL_DUPLICATE', 'H8: an id appears twice')
    }
    ids.add(id)
    return null
  })
}

function checkToolUse(use: JsonObject): Refusal | null {
  if (!isToolName(use['name'])) return invalidBody('tool name', 'Invalid tool use format.')
  if (asJsonObject(use['input']) !== null) return null
  return invalidBody('the input of a tool use must be an object', 'Invalid tool use format.')
}

function idsOf(list: readonly unknown[]): string[] {
  return objectsOf(list).map((item) => String(item['toolUseId']))
}

function objectsOf(list: readonly unknown[]): JsonObject[] {
  return list.map(asJsonObject).filter((item) => item !== null)
}
