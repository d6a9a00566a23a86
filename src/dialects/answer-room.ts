/**
 * The room of one answer: how much the model may say, and how much of that may be held. What is held is never given
 * back before the answer is over. Where there is no more room, the answer ends: a stream as an incomplete one, while
 * an answer in one piece fails.
 */
export interface AnswerRoom {
  /** The answer is over. */
  readonly isFull: boolean
  /**
   * The model has said so many bytes more. False when that is too much.
   *
   * @throws {GatewayError} the same, for an answer in one piece.
   */
  say(bytes: number): boolean
  /**
   * So many bytes more are to be held. False when there is no memory for them.
   *
   * @throws {GatewayError} the same, for an answer in one piece.
   */
  hold(bytes: number): boolean
}

/** For answers whose length is known. */
export const ENDLESS_ROOM: AnswerRoom = { isFull: false, say: () => true, hold: () => true }

/** Bytes of the heap that a text takes at most, held as `LongText`. */
export function heapBytesOf(text: string): number {
  return text.length * 2
}
