import type { DeviceState } from '../../devices/device-core.ts'

/** Place in which the sign-ins of devices are kept. One writer at a time. */
export interface DeviceStore {
  /** Returns what is kept now; `null` if there is nothing yet. @throws {DeviceStoreError} */
  read(): Promise<DeviceState | null>
  /**
   * Writes `next` if no other gateway has written since the last `read()` or `write()`; returns what was written meanwhile
   * otherwise. A rejection means "unknown" in a fleet: the change may take effect.
   * @throws {DeviceStoreError}
   */
  write(next: DeviceState): Promise<DeviceWrite>
  /** Calls the listener when another process may have written. Returns the function that ends this. */
  onNews(listener: () => void): () => void
}

export type DeviceWrite =
  | { readonly isWritten: true }
  | { readonly isWritten: false; readonly found: DeviceState | null }

export interface DeviceStoreErrorOptions extends ErrorOptions {
  /** Another part of the gateway tells the operator. */
  readonly isReported?: boolean
}

/** The sign-ins cannot be read or written now. The message is for clients: it names no path. */
export class DeviceStoreError extends Error {
  override readonly name = 'DeviceStoreError'
  readonly isReported: boolean

  constructor(message: string, { isReported = false, ...options }: DeviceStoreErrorOptions = {}) {
    super(message, options)
    this.isReported = isReported
  }
}
