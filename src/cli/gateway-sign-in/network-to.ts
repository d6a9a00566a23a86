import { isOnThisMachine } from '../../shared/loopback.ts'
import { Network, type NetworkSettings } from '../network.ts'

const NO_PROXY = { url: null, httpsUrl: null, exceptions: null } as const

/** The way to another gateway: through the configured proxy, except to this machine, where a tunnel may end. */
export function networkTo(url: string, config: NetworkSettings): Network {
  const isHere = isOnThisMachine(new URL(url).hostname)
  return new Network(isHere ? { ...config, proxy: NO_PROXY } : config)
}
