/** What the shell has to do. `trim`: bring the sockets down to `max`, then call `trimmed(permits)`. */
export type LeaseCommand =
  | { readonly type: 'issue'; readonly id: number }
  | { readonly type: 'refuse'; readonly id: number; readonly reason: 'full' | 'draining' }
  | { readonly type: 'trim'; readonly max: number; readonly permits: number }

/** What becomes of a request for a permit; who is `waiting` hears more by a command. */
export type LeaseAnswer = 'issued' | 'waiting' | 'full' | 'draining'
