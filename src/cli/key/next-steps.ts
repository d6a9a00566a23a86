import { networkInterfaces } from 'node:os'
import { isLoopback } from '../../config/address-list.ts'
import { inspectConfig } from '../../config/load.ts'
import { isInContainer } from '../../shared/container-marks.ts'
import type { CommandCall } from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'

export interface NewKey {
  readonly name: string
  readonly secret: string
}

/** Parts of this machine that decide by which address others reach the gateway. */
export interface OutsideView {
  readonly isInContainer: boolean
  /** Address of a network interface; `null` without a network. */
  readonly address: string | null
}

/**
 * Says what the owner of a key is to type, with the gateway's address. The key stands in it only where a person reads:
 * scripts keep standard error in their logs. A container cannot know the address and the port under which it is published.
 */
export function stepsFor(
  { env, terminal }: CommandCall,
  { name, secret }: NewKey,
  { isInContainer: isContained, address }: OutsideView = outsideView()
): readonly string[] {
  const { config } = inspectConfig(env)
  if (config.server.port === 0) return []
  const { host, port } = config.server
  const isEverywhere = host === '0.0.0.0' || host === '::'
  const shownAddress = isContained ? 'ADDRESS' : address
  const isLocal = !isEverywhere || shownAddress === null
  const url = isLocal ? gatewayUrl(null, config) : `http://${shownAddress}:${port}`
  const shown = terminal.isInteractive ? secret : 'KEY'
  return [
    `To set up Claude Code, or another client, ${name} types:`,
    `  npx --yes kiro-gateway setup claude --url ${url} --key ${shown}`,
    ...(isContained && isEverywhere
      ? [
          `ADDRESS:${port} is the address at which you reach this gateway: of the machine that runs the container, with the port that it publishes, or of your reverse proxy, with https.`
        ]
      : []),
    ...(isLoopback(host)
      ? [
          `The gateway listens on ${host}, so this works on this machine only. For others set SERVER_HOST, or use a reverse proxy with TLS and give its address.`
        ]
      : [])
  ]
}

function outsideView(): OutsideView {
  return { isInContainer: isInContainer(), address: outsideAddress() }
}

/** First IPv4 address by which others of this network may reach the machine. */
function outsideAddress(): string | null {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)
  return found?.address ?? null
}
