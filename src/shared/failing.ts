/** Facts of a failure as in the log line; each text is bounded. */
export interface FailureFacts {
  readonly reason: string
  /** Detail that the client does not see; empty if there is none. */
  readonly detail: string
  /** Status of the upstream's last answer; `null` without one, like `upstreamId`. */
  readonly upstreamStatus: number | null
  readonly upstreamId: string | null
}

/** Requests that failed one after the other. */
export interface FailingRequests {
  /** Red once so many have failed that the next one is likely to fail, too. */
  readonly level: 'amber' | 'red'
  readonly count: number
  /** Epoch ms of the last one. */
  readonly at: number
  readonly code: string
  readonly reason: string
}
