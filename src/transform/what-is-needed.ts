import type { AttachmentNeeds } from '../dialects/convert-request.ts'
import type { TransformNeedsRoom } from './transform-job.ts'

/** A body that can't be converted before its attachments have been got; it comes back with this. */
export class AttachmentsNeeded extends Error {
  readonly needs: AttachmentNeeds
  readonly body: Uint8Array

  constructor(needs: AttachmentNeeds, body: Uint8Array) {
    super('attachments are needed')
    this.needs = needs
    this.body = body
  }
}

/** A body that can't be converted before there is memory for its payload; it comes back with this, too. */
export class RoomNeeded extends Error {
  readonly payloadBytes: number
  readonly bodyBytes: number
  readonly body: Uint8Array

  constructor({ payloadBytes, bodyBytes, body }: Omit<TransformNeedsRoom, 'ok'>) {
    super('memory is needed')
    this.payloadBytes = payloadBytes
    this.bodyBytes = bodyBytes
    this.body = body
  }
}
