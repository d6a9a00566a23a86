/** What the gateway knows of one upstream model (kiro-protocol §7). */
export interface ModelFacts {
  readonly id: string
  readonly name: string
  readonly description?: string
  /** Tokens. */
  readonly maxInputTokens: number
  /** Tokens. */
  readonly maxOutputTokens?: number
  readonly takesImages: boolean
  /** `additionalModelRequestFieldsSchema`, where the upstream gave one. */
  readonly requestFieldsSchema?: Readonly<Record<string, unknown>>
}
