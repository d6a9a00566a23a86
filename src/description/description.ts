import { describeApi } from './api/document.ts'
import { describeOnPage, PAGE_POLICY } from './page/page.ts'

/** The description as it is sent: bytes, so that however many clients read it slowly, there is one of it. */
export interface DescriptionFiles {
  readonly json: Buffer
  readonly page: Buffer
  /** The page's Content-Security-Policy. */
  readonly pagePolicy: string
}

/**
 * Builds both from the code, for a gateway that listens on `port`. They take about 500 kB, only once they were
 * requested.
 */
export function makeDescription(port: number): DescriptionFiles {
  return {
    json: Buffer.from(JSON.stringify(describeApi())),
    page: Buffer.from(describeOnPage(port)),
    pagePolicy: PAGE_POLICY
  }
}
