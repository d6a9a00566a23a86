/** What names an answer to its client; made by the caller, so that answers can be reproduced. */
export interface AnswerIdentity {
  /** With the dialect's prefix (`toAnswerId`). */
  readonly id: string
  /** Unix time in seconds. */
  readonly created: number
}
