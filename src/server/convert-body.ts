import type { DialectName } from '../dialects/reply-plan.ts'
import type { TransformSuccess } from '../transform/transform-job.ts'
import { convertWithAttachments } from './attachments/convert-with-attachments.ts'
import type { BodyMemory } from './body-memory.ts'
import type { DataPlane } from './data-plane.ts'
import { referencedAnswers } from './items/referenced-answers.ts'
import { requestOptionsOf } from './request-options.ts'

export interface ClientBody {
  readonly dialect: DialectName
  /** Taken: its bytes may have moved to a thread afterwards. */
  readonly body: Uint8Array
  readonly memory: BodyMemory
  /** Name of its client's key. */
  readonly key: string
}

/**
 * Makes the upstream's request of a client's body, with everything that the body only refers to.
 *
 * @throws {GatewayError} what the request deserves, and all of `TransformPool.run()`
 */
export async function convertBody(
  plane: DataPlane,
  { dialect, body, memory, key }: ClientBody,
  signal: AbortSignal
): Promise<TransformSuccess> {
  const answers = await referencedAnswers(plane, { dialect, body, key, memory })
  const job = { dialect, body, options: { ...requestOptionsOf(plane), answers } }
  return convertWithAttachments(plane, job, memory, { key, signal })
}
