import { joinText, type Message } from './message.ts'
import { UpstreamLimits } from './limits.ts'
import type { RepairCode } from './repair-table.ts'
import type { Repairs } from './repairs.ts'

/**
 * Keeps the newest images that the upstream takes: none for a model without eyes, else ten. A note stands
 * where one was, so that neither model nor user is left guessing.
 */
export function limitImages(
  messages: readonly Message[],
  takesImages: boolean,
  repairs: Repairs
): readonly Message[] {
  const count = messages.reduce((sum, { images }) => sum + images.length, 0)
  let excess = takesImages ? count - UpstreamLimits.images : count
  if (excess <= 0) return messages
  const code: RepairCode = takesImages ? 'image-limit' : 'image-omitted'
  const reason = takesImages ? 'only the newest ones are sent' : 'this model takes no images'
  return messages.map((message) => {
    const left = Math.min(message.images.length, excess)
    if (left <= 0) return message
    excess -= left
    repairs.note(code, message.source)
    const note = `[${left === 1 ? '1 image' : `${left} images`} left out: ${reason}.]`
    return {
      ...message,
      images: message.images.slice(left),
      text: joinText(message.text, note, '\n\n')
    }
  })
}
