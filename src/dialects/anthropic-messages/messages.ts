import type { Message } from '../../kiro/message.ts'
import type { Repairs } from '../../kiro/repairs.ts'
import { readContent, readPart } from '../content-blocks.ts'
import { MessageDraft } from '../message-draft.ts'
import type { MessagesBody, MessagesMessage } from './schema.ts'

/** A request's messages, sorted into system text and turns. */
export interface ReadMessages {
  readonly systemParts: readonly string[]
  readonly messages: readonly Message[]
}

/**
 * Reads the messages; system turns between them, as Claude Code sends them, join the system text, unless their time is
 * over.
 */
export function readMessages(messages: readonly MessagesMessage[], repairs: Repairs): ReadMessages {
  const systemParts: string[] = []
  const turns: Message[] = []
  const lastUser = messages.findLastIndex(({ role }) => role === 'user')
  for (const [index, { role, content, clear_at: clearAt }] of messages.entries()) {
    if (role === 'system' && clearAt === 'next_user_message' && index < lastUser) continue
    const draft = new MessageDraft(role === 'assistant' ? 'assistant' : 'user')
    const source = `messages[${index}]`
    readContent(content, { draft, path: `${source}.content`, repairs })
    switch (role ?? '') {
      case 'system':
      case 'developer':
        if (turns.length > 0) repairs.note('system-hoisted', source)
        systemParts.push(draft.toText())
        break
      case 'assistant':
      case 'user':
        turns.push(draft.toMessage(source))
        break
      default:
        repairs.note('role-unknown', `${source}.role`)
        turns.push(draft.toMessage(source))
    }
  }
  return { systemParts, messages: turns }
}

/** The parts of the `system` member, one for each block. */
export function readSystem(system: MessagesBody['system'], repairs: Repairs): readonly string[] {
  const blocks = typeof system === 'string' ? [system] : (system ?? [])
  return blocks.map((block, index) => {
    const draft = new MessageDraft('user')
    readPart(block, {
      draft,
      path: typeof block === 'string' ? 'system' : `system[${index}]`,
      repairs
    })
    return draft.toText()
  })
}
