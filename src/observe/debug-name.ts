import { randomUUID } from 'node:crypto'

/**
 * Returns a name that sorts by time. Clients choose request ids and may send one twice at once: the last eight digits
 * differ.
 */
export function debugName(requestId: string, now: number): string {
  const timestamp = new Date(now).toISOString().replaceAll(/[-:.]/g, '')
  return `${timestamp}-${requestId.replaceAll(/[^\w-]/g, '').slice(0, 64)}-${randomUUID().slice(0, 8)}`
}
