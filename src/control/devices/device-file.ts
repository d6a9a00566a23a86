import { rename } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { DeviceState } from '../../devices/device-core.ts'
import {
  MAX_DEVICE_RECORD_BYTES,
  readDeviceRecord,
  writeDeviceRecord
} from '../../devices/device-record.ts'
import type { Logger } from '../../observe/logger.ts'
import { codeOf } from '../../shared/errors.ts'
import { FileLock, LOCK_PATIENCE_MS } from '../../shared/file-lock.ts'
import {
  fileVersion,
  makeFolder,
  readPrivateFile,
  removeDrafts,
  replaceFile
} from '../../shared/private-files.ts'
import { type DeviceStore, DeviceStoreError, type DeviceWrite } from './device-store.ts'

export interface DeviceFileOptions {
  readonly stateDir: string
  readonly log: Pick<Logger, 'error'>
  readonly pollMs?: number
}

/** Polling costs one system call, and sees what another gateway with the same STATE_DIR has written. */
const POLL_MS = 1_000

/** Keeps the sign-ins of devices in `devices.json` of STATE_DIR. */
export class DeviceFile implements DeviceStore {
  readonly #path: string
  readonly #lockPath: string
  readonly #log: DeviceFileOptions['log']
  readonly #pollMs: number
  /** Version of the file that was read or written last; `undefined` before. */
  #version: string | null | undefined
  #isBusy = false

  constructor({ stateDir, log, pollMs = POLL_MS }: DeviceFileOptions) {
    this.#path = resolve(join(stateDir, 'devices.json'))
    this.#lockPath = join(dirname(this.#path), '.devices.json.lock')
    this.#log = log
    this.#pollMs = pollMs
  }

  read(): Promise<DeviceState | null> {
    return this.#alone(() => this.#read())
  }

  write(next: DeviceState): Promise<DeviceWrite> {
    return this.#alone(async () => {
      await makeFolder(dirname(this.#path)).catch(notWritten)
      const lock = await this.#lock()
      try {
        if ((await fileVersion(this.#path)) !== this.#version) {
          return { isWritten: false, found: await this.#read() }
        }
        const text = writeDeviceRecord(next)
        await replaceFile(this.#path, { text, mode: 0o600, isDurable: true }).catch(notWritten)
        this.#version = await fileVersion(this.#path)
        return { isWritten: true }
      } finally {
        await lock?.release()
      }
    })
  }

  onNews(listener: () => void): () => void {
    const look = async (): Promise<void> => {
      if (this.#isBusy || this.#version === undefined) return
      const version = await fileVersion(this.#path)
      if (!this.#isBusy && version !== this.#version) listener()
    }
    const timer = setInterval(() => void look(), this.#pollMs).unref() // cannot reject
    return () => clearInterval(timer)
  }

  /** Moves a damaged file aside, so that nothing of it is overwritten. */
  async #read(): Promise<DeviceState | null> {
    if (this.#version === undefined) await removeDrafts(this.#path) // of a process that was killed
    const version = await fileVersion(this.#path)
    const text = await this.#text()
    if (text === null) {
      this.#version = null
      return null
    }
    const reading = readDeviceRecord(text)
    if (reading.name === 'state') {
      this.#version = version // of before it was read: what was written meanwhile is seen the next time
      return reading.state
    }
    if (reading.name === 'newer') {
      throw new DeviceStoreError(
        'The sign-ins of devices were written by a newer version of this gateway. Ask its operator to update it.'
      )
    }
    await this.#moveAside()
    this.#version = null
    return null
  }

  async #text(): Promise<string | null> {
    try {
      return (await readPrivateFile(this.#path, MAX_DEVICE_RECORD_BYTES)).toString()
    } catch (cause) {
      const code = codeOf(cause)
      if (code === 'ENOENT' || code === 'ENOTDIR') return null
      throw new DeviceStoreError(`The sign-ins of devices cannot be read (${code}).`, { cause })
    }
  }

  async #moveAside(): Promise<void> {
    const aside = `${this.#path}.damaged-${new Date().toISOString().replaceAll(':', '-')}`
    await rename(this.#path, aside).catch((cause: unknown) => {
      throw new DeviceStoreError(
        `The file with the sign-ins of devices is damaged and cannot be moved aside (${codeOf(cause)}).`,
        { cause }
      )
    })
    this.#log.error(
      { path: this.#path, aside },
      'the sign-ins of devices are damaged: the file was moved aside, and devices have to sign in again'
    )
  }

  async #lock() {
    const [path, note] = [this.#lockPath, 'kiro-gateway changes the sign-ins of devices']
    const lock = new FileLock({ path, fallbackPath: path, note })
    const timeout = AbortSignal.timeout(LOCK_PATIENCE_MS)
    return lock.acquire(timeout).catch((cause: unknown) => {
      throw new DeviceStoreError(
        'Another process is changing the sign-ins of devices. Try again.',
        {
          cause
        }
      )
    })
  }

  async #alone<T>(run: () => Promise<T>): Promise<T> {
    this.#isBusy = true
    try {
      return await run()
    } finally {
      this.#isBusy = false
    }
  }
}

function notWritten(cause: unknown): never {
  throw new DeviceStoreError(
    `The sign-ins of devices cannot be saved (${codeOf(cause)}). The operator of this gateway has to look at its disk and STATE_DIR.`,
    { cause }
  )
}
