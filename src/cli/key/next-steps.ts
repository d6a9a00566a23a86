import { networkInterfaces } from 'node:os'
import { inspectConfig } from '../../config/load.ts'
import type { CommandCall } from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'

export interface NewKey {
  readonly name: string
  readonly secret: string
}

/**
 * Says what the owner of a key is to type, with the gateway's address. The key stands in it only where a person reads:
 * scripts keep standard error in their logs.
 */
export function stepsFor(
  { env, terminal }: CommandCall,
  { name, secret }: NewKey
): readonly string[] {
  const { config } = inspectConfig(env)
  if (config.server.port === 0) return []
  const { host, port } = config.server
  const isEverywhere = host === '0.0.0.0' || host === '::'
  const address = isEverywhere ? outsideAddress() : null
  const url = address === null ? gatewayUrl(null, config) : `http://${address}:${port}`
  const shown = terminal.isInteractive ? secret : 'KEY'
  return [
    `To set up Claude Code, or another client, ${name} types:`,
    `  npx --yes kiro-gateway setup claude --url ${url} --key ${shown}`,
    ...(isLoopback(host)
      ? [
          `The gateway listens on ${host}, so this works on this machine only. For others set SERVER_HOST, or use a reverse proxy with TLS and give its address.`
        ]
      : [])
  ]
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

/** First IPv4 address by which others of this network may reach the machine. */
function outsideAddress(): string | null {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)
  return found?.address ?? null
}
