import { randomUUID } from 'node:crypto'

/** Sorts by time. Clients may send one request id twice at once: the last eight digits differ. */
export function debugName(requestId: string, now: number): string {
  const timestamp = new Date(now).toISOString().replaceAll(/[-:.]/g, '')
  return `${timestamp}-${idInName(requestId)}-${randomUUID().slice(0, 8)}`
}

export function idInName(requestId: string): string {
  return requestId.replaceAll(/[^\w-]/g, '').slice(0, 64)
}
