import type { Conversation, ToolChoice } from '../kiro/message.ts'
import type { UpstreamPayload } from '../kiro/payload.ts'
import type { Repairs } from '../kiro/repairs.ts'
import type { JsonForm } from './json-answer.ts'
import {
  nameSearchTool,
  openingSearch,
  type OpeningSearch,
  searchTool,
  type WebSearchWish
} from './search-tool.ts'

/** What may make the gateway ask the model more than once for one answer. */
export interface RoundPlan {
  /** The text must be this; `null` for any text. */
  readonly jsonForm: JsonForm | null
  /** The answer must call a tool; `null` where it need not. */
  readonly dueCall: DueCall | null
  readonly webSearch: WebSearchPlan | null
}

/** A call that the client insists on. */
export type DueCall =
  /** Of this tool, as the client knows it. */
  | { readonly name: string }
  /** Of any tool; the model is reminded of these. */
  | { readonly name: null; readonly oneOf: readonly string[] }

/** The model knows the others from the request. */
const MaxReminded = 8

/** Searches that the gateway makes for the model. */
export interface WebSearchPlan extends WebSearchWish {
  /** Under which the model is offered it. */
  readonly toolName: string
  /** To be made before the model is asked. */
  readonly opening: OpeningSearch | null
}

/** What a dialect found in its request. */
export interface RoundWishes {
  readonly conversation: Conversation
  readonly jsonForm?: JsonForm | undefined
  readonly webSearch?: WebSearchWish | undefined
}

/** The search that will be made for the model, and the conversation in which it is offered. */
export function planSearch(
  { conversation, webSearch }: RoundWishes,
  { isServed, repairs }: { readonly isServed: boolean; readonly repairs: Repairs }
): { readonly conversation: Conversation; readonly webSearch: WebSearchPlan | null } {
  if (webSearch === undefined || conversation.toolChoice.type === 'none') {
    return { conversation, webSearch: null }
  }
  if (!isServed) {
    repairs.note('server-tool-dropped', webSearch.source)
    return { conversation, webSearch: null }
  }
  const toolName = nameSearchTool(conversation.tools)
  const opening = openingSearch(conversation)
  // First, so that no other tool's cleaned-up name can take its own.
  const tools = [searchTool(toolName, webSearch), ...conversation.tools]
  return {
    conversation: { ...conversation, tools },
    webSearch: { ...webSearch, toolName, opening }
  }
}

/** `null` for the usual answer, which is passed on as it comes. */
export function planRounds(
  { jsonForm, webSearch }: Pick<RoundWishes, 'jsonForm'> & Pick<RoundPlan, 'webSearch'>,
  choice: ToolChoice,
  offered: readonly string[]
): RoundPlan | null {
  const dueCall = dueCallOf(choice, offered)
  if (jsonForm === undefined && dueCall === null && webSearch === null) return null
  return { jsonForm: jsonForm ?? null, dueCall, webSearch }
}

/** The client's names of the tools that a payload offers. */
export function offeredNames(
  { conversationState }: UpstreamPayload,
  toolNames: Readonly<Record<string, string>>
): readonly string[] {
  const { userInputMessageContext: context } = conversationState.currentMessage.userInputMessage
  return (context?.tools ?? []).map(({ toolSpecification: { name } }) =>
    Object.hasOwn(toolNames, name) ? (toolNames[name] ?? name) : name
  )
}

/** What cannot be called is not insisted on. */
function dueCallOf(choice: ToolChoice, offered: readonly string[]): DueCall | null {
  if (choice.type === 'required') {
    return offered.length > 0 ? { name: null, oneOf: offered.slice(0, MaxReminded) } : null
  }
  if (choice.type !== 'named') return null
  const wanted = choice.name.toLowerCase()
  const name =
    offered.find((one) => one === choice.name) ??
    offered.find((one) => one.toLowerCase() === wanted)
  return name === undefined ? null : { name }
}
