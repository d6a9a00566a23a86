/** The right to have one request in flight upstream. Released once, by whoever holds it. */
export class Permit implements Disposable {
  #onRelease: (() => void) | null

  constructor(onRelease: () => void) {
    this.#onRelease = onRelease
  }

  /** Gives the permit back. Later calls do nothing, so `finally` blocks need no guard. */
  release(): void {
    const onRelease = this.#onRelease
    this.#onRelease = null
    onRelease?.()
  }

  [Symbol.dispose](): void {
    this.release()
  }
}
