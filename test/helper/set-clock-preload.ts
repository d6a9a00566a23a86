import { readFileSync } from 'node:fs'

/*
 * Loaded into each process and thread of a program whose clock a test sets (set-clock.ts): the time of day is the machine's
 * plus what a file says. The monotonic clock, and with it every timer, goes on as it is.
 */

const path = new URL(import.meta.url).searchParams.get('offset') ?? ''
const RealDate = Date

/** Read each time, so that a clock that was set is so for all of them. */
function now(): number {
  return RealDate.now() + Number(readFileSync(path, 'utf8'))
}

globalThis.Date = new Proxy(RealDate, {
  construct: (target, given: [], as) =>
    Reflect.construct(target, given.length === 0 ? [now()] : given, as),
  get: (target, name, as) => (name === 'now' ? now : Reflect.get(target, name, as))
})
