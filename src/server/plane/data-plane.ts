import type { Lease } from '../../admission/lease.ts'
import type { MemoryBudget } from '../../admission/memory-budget.ts'
import type { Config } from '../../config/settings.ts'
import type { Catalogue } from '../../kiro/models/models.ts'
import type { DebugCapture } from '../../observe/debug-capture.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { AnswerBudget } from '../../reply/answer-memory.ts'
import type { TransformPool } from '../../transform/transform-pool.ts'
import type { RetryBudget } from '../../upstream/call/retry.ts'
import type { ConnectionPool } from '../../upstream/connections/pool.ts'
import type { ItemStore } from './item-store.ts'
import type { OpenTurns } from './open-turns.ts'
import type { Credentials, SharedCalibration } from './primary-links.ts'
import type { UrlFetcher } from './url-fetcher.ts'

/** What a worker has to serve requests with. Made once by `worker.ts`; settings and catalogue change in place. */
export interface DataPlane {
  readonly lease: Lease
  readonly pool: ConnectionPool
  readonly memory: MemoryBudget
  /** Memory for small bodies while `memory` is in use. */
  readonly smallLane: MemoryBudget
  /** Counts what of both is held for answers that are under way. */
  readonly kept: MemoryBudget
  /** Memory for what is held of answers. */
  readonly answers: AnswerBudget
  readonly transforms: TransformPool
  readonly credentials: Credentials
  /** For images and documents that requests name by URL. */
  readonly fetcher: UrlFetcher
  readonly retryBudget: RetryBudget
  readonly metrics: Metrics
  readonly debug: DebugCapture
  readonly items: ItemStore
  /** What all workers have learnt of the upstream's tokenizers. */
  readonly calibration: SharedCalibration
  readonly turns: OpenTurns
  /** Upstream answers come from the built-in simulator. */
  readonly isSimulated: boolean
  config(): Config
  catalogue(): Catalogue
  /** Nothing new is served any more. */
  isDraining(): boolean
  /** The worker will be gone soon: connections that are open should not be used again. */
  isLeaving(): boolean
}
