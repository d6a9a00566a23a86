import type { Repairs } from '../rules/repairs.ts'
import { isBlank, joinText, type Message, textMessage } from '../wire/message.ts'

/** What comes first where the assistant speaks first. */
export const FIRST_TURN: Message = textMessage('user', '')

/** What the user says where a client left the user's last turn empty. */
export const CONTINUE = 'Continue.'

/**
 * Turns that alternate, begin with the user and end with the user (kiro-protocol §4.8 steps 7–9). Adjacent
 * messages of one role become one turn; a blank first turn and a last "Continue." fill what is missing.
 */
export function alternateTurns(messages: readonly Message[], repairs: Repairs): Message[] {
  const turns = mergeAdjacent(messages, repairs)
  if (turns[0]?.role === 'assistant') {
    repairs.note('first-turn-added', turns[0].source)
    turns.unshift(FIRST_TURN)
  }
  const last = turns.at(-1)
  if (last?.role !== 'user') {
    repairs.note('last-turn-added', last?.source)
    turns.push(textMessage('user', CONTINUE))
  }
  return turns
}

function mergeAdjacent(messages: readonly Message[], repairs: Repairs): Message[] {
  const turns: Message[] = []
  let run: Message[] = []
  const endRun = (): void => {
    const turn = mergeRun(run, repairs)
    if (turn !== undefined) turns.push(turn)
    run = []
  }
  for (const message of messages) {
    if (run.length > 0 && run[0]?.role !== message.role) endRun()
    run.push(message)
  }
  endRun()
  return turns
}

/** Joins a whole run at once: pairwise joining would copy its lists again for every message. */
function mergeRun(run: readonly Message[], repairs: Repairs): Message | undefined {
  const [first] = run
  if (first === undefined || run.length === 1) return first
  // Tool results and the user's words after them are one turn by design, not by repair.
  const [, ...joined] = run.filter((message) => !isBlank(message.text))
  for (const { source } of joined) repairs.note('turns-merged', source)
  return {
    role: first.role,
    source: first.source,
    text: run.reduce((text, message) => joinText(text, message.text, '\n'), ''),
    images: run.flatMap((message) => message.images),
    toolCalls: run.flatMap((message) => message.toolCalls),
    toolResults: run.flatMap((message) => message.toolResults)
  }
}
