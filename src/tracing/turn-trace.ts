/** Follows requests, where traces are on. What its answers cost is a few objects; nothing waits for it. */
export interface TurnTracer {
  /** A request has arrived. */
  begin(arrived: ArrivedTurn): TurnTrace
  /** Sends what is left, for a second at most, and takes nothing more. */
  close(): Promise<void>
}

export interface ArrivedTurn {
  /** Name of the route. */
  readonly route: string
  /** The client's, as it came: it says of which trace the request is a part. */
  readonly traceparent: unknown
  /** `performance.now()` when it arrived. */
  readonly at: number
}

/** One request on its way. */
export interface TurnTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** For the client: the trace and, as its parent, this request (W3C Trace Context). */
  readonly traceparent: string
  /** Starts the span of an upstream question. */
  asks(upstreamModel: string): void
  /** A phase of it has ended. */
  phase(name: string, endedAt: number, spentMs: number): void
  /** A call of the upstream is over. */
  call(call: TracedCall): void
  /** It is over, and so is this. */
  end(turn: TracedTurn): void
}

/** One attempt to get an answer. */
export interface TracedCall {
  readonly startedAt: number
  readonly url: URL
  /** 0 where no answer came. */
  readonly status: number
  readonly chunks: number
  /** The code of its failure. */
  readonly code: string | null
}

/** A request that is over: figures and names, and never a word of its content. */
export interface TracedTurn {
  readonly requestId: string
  /** `performance.now()` when its client had its answer, or was gone. */
  readonly endedAt: number
  /** The name of a named key. */
  readonly keyName: string | null
  readonly client: string
  readonly dialect: string
  readonly status: number
  /** The code of its failure, and whether that was the client's own. */
  readonly code: string | null
  readonly isClientsFault: boolean
  readonly bodyBytes: number
  readonly attempts: number
  readonly repairs: readonly string[]
  /** Requested and answering model; `null` if it did not come to that. */
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
