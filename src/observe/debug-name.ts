import { randomUUID } from 'node:crypto'

/**
 * Names what is kept of a request, so that names sort by time. Clients choose ids of requests, and two may send the same one at
 * once, to two workers: the last eight digits tell them apart.
 */
export function debugName(requestId: string, now: number): string {
  const timestamp = new Date(now).toISOString().replaceAll(/[-:.]/g, '')
  return `${timestamp}-${requestId.replaceAll(/[^\w-]/g, '').slice(0, 64)}-${randomUUID().slice(0, 8)}`
}
