import { Permit, type Lease as RealLease } from '../../../src/admission/lease.ts'

export { Permit } from '../../../src/admission/lease.ts'

type Public<Class> = { readonly [Member in keyof Class]: Class[Member] }

/** In place of the lease: whoever asks may, nobody counts. */
export class Lease implements Public<RealLease> {
  isFull(): boolean {
    return false
  }

  acquire(): Promise<Permit> {
    return Promise.resolve(new Permit({ onSent: () => {}, onRelease: () => {} }))
  }

  onMessage(): void {}

  get longestWaitMs(): number {
    return 0
  }

  state(): ReturnType<RealLease['state']> {
    return { budget: null, size: Infinity, held: 0, waiting: 0, gated: 0, keepAlive: 150 }
  }

  readonly bar = null
  readonly pausedMs = 0
  readonly isPacing = false
  readonly missing = 0

  setBar(): void {}

  setLimits(): void {}

  pause(): void {}

  refuseWaiting(): void {}

  drain(): void {}
}
