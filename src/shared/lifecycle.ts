/**
 * What everything that holds a resource can do. The verbs mean what undici means by them.
 *
 * - `drain()` accepts nothing new, refuses who waits, lets what runs finish.
 * - `close()` is `drain()`, then frees everything; every call after the first returns the same promise.
 * - `destroy(error)` frees everything now; what runs fails with `error`.
 */
export interface Closable {
  close(): Promise<void>
  destroy(error: Error): Promise<void>
}
