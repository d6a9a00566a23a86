import { isIPv4 } from 'node:net'

/** Tells whether a host name of a URL is always this machine: `localhost` and below, 127.0.0.0/8, `[::1]`. */
export function isOnThisMachine(name: string): boolean {
  return (
    name === '[::1]' ||
    /(^|\.)localhost\.?$/.test(name) ||
    (isIPv4(name) && name.startsWith('127.'))
  )
}
