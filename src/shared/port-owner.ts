import { once } from 'node:events'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { codeOf, operatorError } from './errors.ts'
import { readSocketTables, socketsIn } from './socket-table.ts'

export interface ListenAddress {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

/**
 * Tries to listen before anything is started. What else is wrong with the address is left to the worker.
 * @throws {GatewayError} GW_CONFIG_INVALID if another program has the port, with its name
 */
export async function requireFreePort({ host, port }: ListenAddress): Promise<void> {
  if (port === 0 || !(await isTaken({ host, port }))) return
  const [owner, isGateway] = await Promise.all([ownerOf(port), answersAsGateway({ host, port })])
  const name = isGateway ? 'another kiro-gateway' : (owner?.command ?? 'another program')
  const process = owner === null ? '' : ` (process ${owner.pid})`
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  throw operatorError(
    `${address} is in use by ${name}${process}. Stop it, or choose another port with SERVER_PORT or --port.`
  )
}

async function isTaken({ host, port }: ListenAddress): Promise<boolean> {
  const server = createServer()
  try {
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return false
  } catch (cause) {
    return codeOf(cause) === 'EADDRINUSE'
  } finally {
    server.close()
  }
}

const ASK_TIMEOUT_MS = 1_000

/** Only readiness is told without a key. */
async function answersAsGateway({ host, port }: ListenAddress): Promise<boolean> {
  const asked = ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host
  const url = `http://${asked.includes(':') ? `[${asked}]` : asked}:${port}/readyz`
  try {
    const signal = AbortSignal.timeout(ASK_TIMEOUT_MS)
    const response = await fetch(url, { redirect: 'manual', signal })
    for await (const chunk of response.body ?? []) {
      const text = Buffer.from(chunk).toString()
      return /^\{"status":"(?:ready|not ready)"/.test(text)
    }
  } catch {
    // No HTTP, or no answer: another program.
  }
  return false
}

interface PortOwner {
  readonly pid: number
  readonly command: string
}

/** State of a listening socket in the kernel's tables. */
const LISTENING = '0A'
const MAX_COMMAND_CHARS = 40

/** Finds the process that listens on the port. `null` outside Linux, and for processes of other users. */
export async function ownerOf(port: number): Promise<PortOwner | null> {
  try {
    const all = [...socketsIn((await readSocketTables()) ?? '', 'all')]
    const listeners = all.filter(
      ({ localPort, state }) => localPort === port && state === LISTENING
    )
    const sockets = new Set(listeners.map(({ inode }) => `socket:[${inode}]`))
    if (sockets.size === 0) return null
    for (const pid of await readdir('/proc')) {
      if (/^\d+$/.test(pid) && (await holdsOne(pid, sockets))) {
        const command = (await readFile(`/proc/${pid}/comm`, 'utf8')).trim()
        return { pid: Number(pid), command: command.slice(0, MAX_COMMAND_CHARS) }
      }
    }
  } catch {
    // No /proc, or the process has just ended.
  }
  return null
}

async function holdsOne(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    if (sockets.has(await readlink(`${folder}/${name}`).catch(() => ''))) return true
  }
  return false
}
