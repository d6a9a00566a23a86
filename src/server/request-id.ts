import { randomUUID } from 'node:crypto'

const ACCEPTABLE = /^[A-Za-z0-9._:-]{1,128}$/

/** The id that the client gave its request, if it is fit for logs and headers, else a new one. */
export function requestIdOf(given: string | readonly string[] | undefined): string {
  if (typeof given === 'string' && ACCEPTABLE.test(given)) return given
  return `req_${randomUUID().replaceAll('-', '')}`
}
