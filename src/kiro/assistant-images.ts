import type { Message } from './message.ts'
import type { Repairs } from './repairs.ts'

/**
 * Moves images of the assistant to the user turn after it: the upstream has no place for them elsewhere. Expects
 * alternating turns that end with the user.
 */
export function moveAssistantImages(turns: readonly Message[], repairs: Repairs): Message[] {
  let moved: Message['images'] = []
  return turns.map((turn) => {
    if (turn.role === 'assistant' && turn.images.length > 0) {
      repairs.note('image-moved', turn.source)
      moved = turn.images
      return { ...turn, images: [] }
    }
    if (moved.length === 0) return turn
    const images = [...moved, ...turn.images]
    moved = []
    return { ...turn, images }
  })
}
