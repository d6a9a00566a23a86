export interface ArrivedTurn {
  readonly route: string
  readonly traceparent: unknown
  /** `performance.now()`. */
  readonly at: number
}

export interface TracedCall {
  readonly startedAt: number
  readonly url: URL
  readonly status: number
  readonly chunks: number
  readonly code: string | null
}

/** Figures and names of a completed request, never its content. */
export interface TracedTurn {
  readonly requestId: string
  /** `performance.now()` when the client had its answer, or was gone. */
  readonly endedAt: number
  readonly keyName: string | null
  readonly client: string
  readonly dialect: string
  readonly status: number
  readonly code: string | null
  readonly isClientsFault: boolean
  readonly bodyBytes: number
  readonly attempts: number
  readonly repairs: readonly string[]
  readonly model: {
    readonly asked: string
    readonly upstream: string
    readonly isStream: boolean
  } | null
  readonly usage: {
    readonly inputTokens: number
    readonly outputTokens: number
    readonly cacheReadTokens?: number | undefined
    readonly cacheWriteTokens?: number | undefined
    readonly reasoningTokens?: number | undefined
  } | null
  readonly credits: number
}
