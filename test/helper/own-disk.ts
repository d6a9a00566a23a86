import { execFile, execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

export type DiskType = 'tmpfs' | 'ext4'

interface Teardown {
  teardown(close: () => unknown): void
}

/** A small disk that a test has for itself. */
export class OwnDisk {
  readonly folder: string
  readonly #base: string
  #isFrozen = false

  private constructor(type: DiskType, sizeMb: number) {
    this.#base = mkdtempSync(join(tmpdir(), 'kiro-gateway-disk-'))
    this.folder = join(this.#base, 'mount')
    mkdirSync(this.folder)
    try {
      if (type === 'tmpfs') run('mount', '-t', type, '-o', `size=${sizeMb}m`, type, this.folder)
      else mountImage(join(this.#base, 'image'), sizeMb, this.folder)
    } catch (error) {
      rmSync(this.#base, { recursive: true })
      throw error
    }
  }

  /** Mounts one. Make it before the gateways that use it, which end first then. */
  static mount(t: Teardown, type: DiskType, sizeMb: number): OwnDisk {
    const disk = new OwnDisk(type, sizeMb)
    t.teardown(() => disk.#unmount())
    return disk
  }

  /** Returns why this process cannot mount such a disk, or `false`. */
  static whyNot(type: DiskType): string | false {
    try {
      new OwnDisk(type, 8).#unmount()
      return false
    } catch {
      return `this process may not mount a ${type}`
    }
  }

  remount(options: string): void {
    run('mount', '-o', `remount,${options}`, this.folder)
  }

  /** Fills it to its last byte. */
  fill(): void {
    const fd = openSync(this.#filler, 'w')
    for (const size of [65_536, 4_096, 1]) {
      try {
        for (;;) if (writeSync(fd, Buffer.alloc(size)) < size) break
      } catch {
        // there is no room for so much
      }
    }
    closeSync(fd)
  }

  /** Takes back what `fill()` did. */
  makeRoom(): void {
    truncateSync(this.#filler)
  }

  get #filler(): string {
    return join(this.folder, 'filler')
  }

  /** Has the kernel find an error of the disk, after which nothing can be written while it is mounted. Of `ext4` alone. */
  failForGood(): void {
    const device = execFileSync('findmnt', ['-no', 'SOURCE', this.folder], { encoding: 'utf8' })
    writeFileSync(`/sys/fs/ext4/${basename(device.trim())}/trigger_fs_error`, 'a test')
  }

  /** Suspends every write until `thaw()`, as a device does that stands still. Of `ext4` alone. */
  async freeze(): Promise<void> {
    this.#isFrozen = true
    await promisify(execFile)('fsfreeze', ['-f', this.folder]) // the caller's streams go on meanwhile
  }

  async thaw(): Promise<void> {
    await promisify(execFile)('fsfreeze', ['-u', this.folder])
    this.#isFrozen = false
  }

  #unmount(): void {
    if (this.#isFrozen) run('fsfreeze', '-u', this.folder)
    run('umount', '-l', this.folder)
    rmSync(this.#base, { recursive: true, force: true })
  }
}

function mountImage(image: string, sizeMb: number, folder: string): void {
  run('truncate', '-s', `${sizeMb}M`, image)
  run('mkfs.ext4', '-q', image)
  run('mount', '-o', 'loop,errors=remount-ro', image, folder)
}

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: 'ignore' })
}
