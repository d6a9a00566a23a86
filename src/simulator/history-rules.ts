import { asJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { UpstreamLimits } from '../kiro/limits.ts'
import { checkToolResult } from './message-rules.ts'
import { badRequest, firstRefusal, improper, invalidBody, type Refusal } from './refusal.ts'
import type { RequestView, Turn } from './request-view.ts'
import { isToolName, toolNamesOf } from './tool-rules.ts'

const FORMAT = 'Invalid tool use format.'
const TOOL_USE_ID = /^[A-Za-z0-9_-]+$/

/** H1-H3 and H9 of kiro-protocol §4.7: who speaks when. */
export function checkOrder(view: RequestView): Refusal | null {
  const { history } = view
  if (history.length === 0) return null
  const { historyEntries } = UpstreamLimits
  if (history.length > historyEntries) {
    return improper('history-length', `H9: more than ${historyEntries} entries`)
  }
  if (history[0]?.role !== 'user') {
    return improper('first-turn', 'H1: history begins with an assistant message')
  }
  const repeated = history.findIndex((turn, i) => i > 0 && turn.role === history[i - 1]?.role)
  if (repeated !== -1) {
    return improper('turn-order', `H2: history[${repeated}] repeats the role before it`)
  }
  if (history.at(-1)?.role === 'assistant') return null
  return improper('last-turn', 'H3: history ends with a user message')
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
    if (orphan !== undefined)
      return improper('result-call', `H4: nobody asked for the tool result ${orphan}`)
    const open = asked.find((id) => !answered.includes(id))
    if (open === undefined) return null
    return improper('call-result', `H5: the tool use ${open} has no result`)
  })
}

/** H6 and H7: tool turns need tools, and each name used must be among them. */
export function checkToolsPresent(view: RequestView): Refusal | null {
  const turns: readonly Turn[] = [...view.history, view.current]
  const hasToolTurns = turns.some((turn) =>
    turn.role === 'user' ? turn.toolResults.length > 0 : turn.toolUses.length > 0
  )
  if (hasToolTurns && view.current.tools.length === 0) {
    return improper(
      'tools-offered',
      'H6: there are tool turns, but the current message has no tools'
    )
  }
  const known = new Set(toolNamesOf(view).map((name) => name.toLowerCase()))
  const used = turns.flatMap((turn) => (turn.role === 'assistant' ? objectsOf(turn.toolUses) : []))
  const foreign = used.find((use) => !known.has(String(use['name']).toLowerCase()))
  if (foreign === undefined) return null
  const name = String(foreign['name'])
  return improper('tool-declared', `H7: the tool ${name} of the history is not among the tools`)
}

/** Tools are offered by the current message only (§4.4). */
export function checkHistoryTools(view: RequestView): Refusal | null {
  const index = view.history.findIndex((turn) => turn.role === 'user' && turn.tools.length > 0)
  return index === -1 ? null : improper('tool-place', `history[${index}] carries tools`)
}

function checkIds(list: readonly unknown[]): Refusal | null {
  const ids = new Set<unknown>()
  return firstRefusal(list, (value) => {
    const id = asJsonObject(value)?.['toolUseId']
    if (typeof id !== 'string' || id.length > UpstreamLimits.toolIdChars || !TOOL_USE_ID.test(id)) {
      return invalidBody('tool-id', 'a toolUseId is 1 to 64 of A-Z a-z 0-9 _ -', FORMAT)
    }
    if (ids.has(id)) {
      const refusal = badRequest(`Duplicate tool use id: ${id}`, 'TOOL_DUPLICATE')
      return { ...refusal, rule: 'tool-id-unique', violation: 'H8: an id appears twice' }
    }
    ids.add(id)
    return null
  })
}

function checkToolUse(use: JsonObject): Refusal | null {
  if (!isToolName(use['name'])) {
    return invalidBody('tool-name', 'a call has a name that is not allowed', FORMAT)
  }
  if (asJsonObject(use['input']) !== null) return null
  return invalidBody('tool-input', 'the input of a tool use must be an object', FORMAT)
}

function idsOf(list: readonly unknown[]): string[] {
  return objectsOf(list).map((item) => String(item['toolUseId']))
}

function objectsOf(list: readonly unknown[]): JsonObject[] {
  return list.map(asJsonObject).filter((item) => item !== null)
}
