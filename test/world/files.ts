import fs from 'node:fs'
import fsPromises from 'node:fs/promises'
import type { Network } from './network.ts'
import { replace } from './replace.ts'
import type { Unsynced } from './unsynced.ts'
import type { World } from './world.ts'

/** Of the kernel's own files, only the tables of sockets are asked for. */
const SOCKET_TABLE = '/proc/net/tcp'
/** What tells one start of a machine, and one process, from another. */
const MACHINE: ReadonlyMap<unknown, string> = new Map([
  ['/proc/sys/kernel/random/boot_id', 'boot-of-the-world'],
  ['/proc/self/ns/pid', 'pid:[1]']
])
const PROCESS = /^\/proc\/(\d+)\/stat$/
/** Of the process that the world is computed in. */
const OPEN_FILES = '/proc/self/fd'
const OTHER_TABLE = '/proc/net/tcp6'
/** What a disk takes, ms. */
const DISK_MS = { from: 0.05, to: 3 }

/** What is wrong with the disk of a world. */
export interface Disk {
  isFull: boolean
  /** So many times longer than usual it takes. */
  slowness: number
  readonly unsynced: Unsynced
}

const WRITES: ReadonlySet<string> = new Set(['writeFile', 'appendFile', 'write'])

type Act = (...args: readonly unknown[]) => unknown

/** Of a `FileHandle`, what has a function of `node:fs` that takes the number of an open file. */
const OF_HANDLES: Readonly<Record<string, Act>> = {
  stat: fs.fstatSync as Act,
  sync: fs.fsyncSync as Act,
  datasync: fs.fdatasyncSync as Act,
  truncate: fs.ftruncateSync as Act,
  chmod: fs.fchmodSync as Act,
  chown: fs.fchownSync as Act,
  utimes: fs.futimesSync as Act,
  readFile: fs.readFileSync as Act,
  writeFile: fs.writeFileSync as Act,
  appendFile: fs.appendFileSync as Act,
  close: fs.closeSync as Act
}

/**
 * Has files read and written at once, in the folder that they are in, and lets whoever asked wait for the world's disk: the
 * real one would answer whenever it likes.
 */
export function installFiles(network: Network, disk: Disk): void {
  const { world } = network
  const { readFileSync, readlinkSync, readdirSync } = fs
  const takesTime = onDisk(world, disk)
  const read = (...args: readonly unknown[]): unknown => {
    if (args[0] === SOCKET_TABLE) return network.table()
    const known = MACHINE.get(args[0])
    if (known !== undefined) return known
    const pid = PROCESS.exec(String(args[0]))?.[1]
    if (pid !== undefined) return statOf(world, Number(pid))
    return args[0] === OTHER_TABLE ? '' : Reflect.apply(readFileSync, fs, args)
  }
  const readLink = (...args: readonly unknown[]): unknown =>
    MACHINE.get(args[0]) ?? Reflect.apply(readlinkSync, fs, args)
  const readFolder = (...args: readonly unknown[]): unknown =>
    args[0] === OPEN_FILES ? [] : Reflect.apply(readdirSync, fs, args)
  replace(fs, { readFileSync: read, readlinkSync: readLink, readdirSync: readFolder })
  for (const name of Object.keys(fsPromises)) {
    const sync: unknown = Reflect.get(fs, `${name}Sync`)
    if (typeof sync !== 'function') continue
    const act: Act = (...args) =>
      disk.unsynced.onPath(name, args, (): unknown => Reflect.apply(sync, fs, args))
    const open: Act = (...args) => {
      const fd = Number(act(...args))
      return openFile({ fd, path: String(args[0]) }, disk, takesTime)
    }
    const done = name === 'readFile' ? read : name === 'open' ? open : act
    replace(fsPromises, { [name]: takesTime(name, done) })
  }
}

/** As the kernel tells of a process: its number is also when it started. */
function statOf(world: World, pid: number): string {
  if (!world.hasProcess(pid)) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
  return `${pid} (gateway) S ${'0 '.repeat(18)}${pid} 0`
}

/** Makes of what is done at once what a disk does: later, or not at all. */
type TakesTime = (name: string, act: Act) => (...args: readonly unknown[]) => Promise<unknown>

function onDisk(world: World, disk: Disk): TakesTime {
  return (name, act) =>
    (...args) => {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      const done = (): unknown => {
        if (disk.isFull && WRITES.has(name)) throw noSpace(name)
        return act(...args)
      }
      world.after(disk.slowness * world.between(DISK_MS.from, DISK_MS.to), () => {
        try {
          resolve(done())
        } catch (error) {
          reject(error)
        }
      })
      return promise
    }
}

function noSpace(syscall: string): Error {
  const message = `ENOSPC: no space left on device, ${syscall}`
  return Object.assign(new Error(message), { code: 'ENOSPC', syscall })
}

/** What `open()` of `node:fs/promises` returns. */
function openFile(
  { fd, path }: { readonly fd: number; readonly path: string },
  { unsynced }: Disk,
  takesTime: TakesTime
): object {
  const handle: Record<PropertyKey, unknown> = { fd }
  for (const [name, act] of Object.entries(OF_HANDLES))
    handle[name] = takesTime(name, (...args) =>
      unsynced.onHandle(name, path, () => act(fd, ...args))
    )
  handle['read'] = takesTime('read', (...args) => {
    const [buffer, offset, length, position] = args
    const bytesRead = Reflect.apply(fs.readSync, fs, [fd, buffer, offset, length, position])
    return { bytesRead, buffer }
  })
  handle['write'] = takesTime('write', (...args) =>
    unsynced.onHandle('write', path, () => ({
      bytesWritten: Reflect.apply(fs.writeSync, fs, [fd, ...args]),
      buffer: args[0]
    }))
  )
  handle[Symbol.asyncDispose] = handle['close']
  return handle
}
