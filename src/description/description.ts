import { describeApi } from './api/document.ts'
import { describeOnPage, PAGE_POLICY } from './page/page.ts'

/** The description as it is sent: bytes, so that however many clients read it slowly, there is one of it. */
export interface DescriptionFiles {
  readonly json: Buffer
  readonly page: Buffer
  /** The page's Content-Security-Policy. */
  readonly pagePolicy: string
}

/** Makes both from the code. They take about 500 kB, which are there only once somebody has asked. */
export function makeDescription(): DescriptionFiles {
  return {
    json: Buffer.from(JSON.stringify(describeApi())),
    page: Buffer.from(describeOnPage()),
    pagePolicy: PAGE_POLICY
  }
}
