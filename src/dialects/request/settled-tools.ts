import { repairsOfTools } from '../../kiro/conversation/settled-history.ts'
import type { OfferedTools, SettledOffer } from '../../kiro/conversation/tools.ts'
import { offerOf } from '../../kiro/conversation/tools.ts'
import type { RepairCode } from '../../kiro/rules/repair-table.ts'
import { type Borderline, borderlineTools, type Repairs } from '../../kiro/rules/repairs.ts'
import type { Conversation } from '../../kiro/wire/message.ts'
import { keptBytesOf, type TextCallForm } from '../plan/plan.ts'
import type { WebSearchWish } from '../plan/search-tool.ts'
import type { ToolsText } from './payload-pieces.ts'

export interface ToolForm {
  /** `text`: takes one raw text, sent upstream as `{"input": "…"}`; `search`: looks for more tools. */
  readonly kind: 'function' | 'text' | 'search'
  readonly name: string
  readonly namespace?: string
}

/** Tools of a request as its client API reads them, without descriptions and schemas. Plain data. */
export interface ReadTools {
  /** In the order in which they were declared. */
  readonly forms: readonly ToolForm[]
  readonly webSearch?: WebSearchWish | undefined
  readonly notes: readonly string[]
  /** JSON text that the answer repeats; `null` if it does not. */
  readonly echo: string | null
}

/**
 * Tools that were converted with an earlier request, for one that has the same JSON text of tools. Plain data: it crosses
 * threads.
 */
export interface SettledTools {
  /** All else that shapes them, see `groundOfTools()`. */
  readonly ground: string
  readonly read: ReadTools
  readonly offer: SettledOffer
  readonly borderline: readonly Borderline[]
  readonly text: ToolsText
  readonly textCallForms: Readonly<Record<string, TextCallForm>>
  readonly repairs: readonly RepairCode[]
}

/** Settings and wishes that shape the tools of a request, besides the tools themselves. */
export function groundOfTools(
  { tools, toolChoice }: Pick<Conversation, 'tools' | 'toolChoice'>,
  options: {
    readonly toolDescriptionMaxLength: number
    readonly toolMaxCount: number
    readonly servesWebSearch: boolean
  }
): string {
  const { toolDescriptionMaxLength, toolMaxCount, servesWebSearch } = options
  const names = tools.map(({ name }) => name)
  return JSON.stringify([
    toolDescriptionMaxLength,
    toolMaxCount,
    servesWebSearch,
    toolChoice,
    names
  ])
}

/** Returns what later requests need to know of these tools; `undefined` without any. */
export function settleTools(made: {
  readonly ground: string
  readonly read: ReadTools | undefined
  readonly offered: OfferedTools
  readonly textCallForms: SettledTools['textCallForms']
  readonly repairs: Repairs
}): SettledTools | undefined {
  const { ground, read, offered, textCallForms, repairs } = made
  if (read === undefined || offered.tools.length === 0) return undefined
  const json = JSON.stringify(offered.tools)
  return {
    ground,
    read,
    offer: offerOf(offered),
    borderline: borderlineTools(offered),
    text: { bytes: new TextEncoder().encode(json), chars: json.length },
    textCallForms,
    repairs: repairsOfTools(repairs.codes)
  }
}

/** Bytes that these hold. */
export function bytesOfTools({ text, ...rest }: SettledTools): number {
  return text.bytes.byteLength + keptBytesOf(rest)
}
