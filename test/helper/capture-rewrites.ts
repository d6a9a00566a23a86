import type { Test } from 'tap'
import { TransformPool } from '../../src/transform/transform-pool.ts'

/** Returns the payloads that were read and written anew since it was asked last. */
export function captureRewrites(t: Test) {
  // oxlint-disable-next-line typescript/unbound-method -- it is called on the pool
  return t.capture(TransformPool.prototype, 'rewrite', TransformPool.prototype.rewrite)
}
