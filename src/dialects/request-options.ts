import type { ModelFacts } from '../kiro/models.ts'

/** What a dialect's `request.ts` needs to know of settings and catalogue. Plain data: it crosses threads. */
export interface RequestOptions {
  /** Client name → upstream name, from `MODEL_ALIASES`. */
  readonly aliases: Readonly<Record<string, string>>
  /** The upstream's catalogue, or the built-in list while `isCatalogueLive` is false. */
  readonly models: readonly ModelFacts[]
  readonly isCatalogueLive: boolean
  readonly toolDescriptionMaxLength: number
  /** Tools offered at most. */
  readonly toolMaxCount: number
  /** Web searches are made for the model; otherwise the vendor's tool for it is left out. */
  readonly servesWebSearch: boolean
  readonly fakeReasoning: FakeReasoningOptions
  /** Heap that there is for the conversion, where it is bounded. */
  readonly heapBytes?: number
  /**
   * For the payload, where it becomes larger than usual: so much memory has been set aside. 0 asks for it first;
   * unbounded unless given.
   */
  readonly payloadRoomBytes?: number
  /**
   * Earlier answers that the request refers to: of each, its items by id as the client saw them, as the JSON text of one
   * object. In bytes, since nobody knows how large they are where the body is small.
   */
  readonly answers?: readonly Uint8Array[]
}

/** Reasoning by tags in the text, for models without reasoning of their own (kiro-protocol §9.1). */
export interface FakeReasoningOptions {
  readonly isEnabled: boolean
  /** Budget in tokens when the client names none. */
  readonly maxTokens: number
  /** Largest budget in tokens, whatever the client names. */
  readonly budgetCap: number
}
