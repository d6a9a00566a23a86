/** Bounds and times of the device sign-in; times are ms. */
export const DEVICE_LIMITS = {
  /** Time in which a code has to be approved and collected. */
  codeMs: 10 * 60_000,
  /** Least time between two polls of a device. */
  intervalMs: 5_000,
  /** Added to that by each poll that comes too early (RFC 8628 §3.5). */
  slowDownMs: 5_000,
  accessMs: 60 * 60_000,
  /** A sign-in that is not renewed for so long ends. */
  unusedMs: 90 * 24 * 60 * 60_000,
  /** By how much the clocks of gateways in a fleet may differ. */
  skewMs: 5 * 60_000,
  pending: 1_000,
  pendingPerNetwork: 20,
  devices: 2_000,
  devicesPerKey: 50,
  /** Ended sign-ins that are remembered one by one. */
  ended: 2_000,
  /** Length as UTF-8, like `hostBytes`. */
  clientBytes: 64,
  hostBytes: 64
} as const
