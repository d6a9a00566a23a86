/** What a worker wants of the dashboard, of which the primary has the figures and counts what all workers do together. */
export type DashboardWish =
  /** So many pages want to be kept up to date; answered by `opened`. */
  | { readonly name: 'open'; readonly requestId: number; readonly pages: number }
  /** So many are there no more. */
  | { readonly name: 'left'; readonly pages: number }
  /** Somebody at this address tries to sign in; answered by `may-try`. */
  | { readonly name: 'try'; readonly requestId: number; readonly address: string }
  /** They have given an operator's key. */
  | { readonly name: 'signed-in'; readonly address: string }

/** What the primary tells of it. `events` are server-sent events, written out. */
export type DashboardNews =
  /** So many of the pages may stay; they begin with these events, and the rest is refused. */
  | {
      readonly name: 'opened'
      readonly requestId: number
      readonly pages: number
      readonly events: string
    }
  /** For all pages of this worker. */
  | { readonly name: 'events'; readonly events: string }
  /** 0: they may; else so long nobody there may. */
  | { readonly name: 'may-try'; readonly requestId: number; readonly waitMs: number }
