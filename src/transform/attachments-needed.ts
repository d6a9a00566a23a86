import type { AttachmentNeeds } from '../dialects/convert-request.ts'

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
