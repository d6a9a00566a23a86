/** One message of the AWS event stream, checksums verified. `payload` may be a view into a larger buffer. */
export interface Frame {
  readonly headers: Readonly<Record<string, HeaderValue>>
  readonly payload: Uint8Array
}

export type HeaderValue = boolean | number | bigint | string | Uint8Array | Date
