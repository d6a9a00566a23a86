import fs from 'node:fs'
import { join, sep } from 'node:path'
import type { Chance } from './chance.ts'

/** A file whose newest bytes may not be on the disk yet. */
interface Written {
  path: string
  /** What the disk has of it. */
  readonly before: Buffer
}

/** A name that the disk may not know yet. What it stands for there; `null` for no file. */
type Named = Buffer | null

/** Part of what was not synced that the kernel has written by itself. */
const WRITTEN_ANYWAY = 0.4

/**
 * What a disk would have of the files that the program wrote, if its machine lost power now: bytes that were synced, under names whose
 * folder was synced after they were given. SQLite writes around it, and so everything of that counts as synced.
 */
export class Unsynced {
  /** By inode. */
  readonly #written = new Map<number, Written>()
  /** By path. */
  readonly #named = new Map<string, Named>()

  /** Has one function of `node:fs/promises` act on the files that it names. */
  onPath(name: string, args: readonly unknown[], act: () => unknown): unknown {
    const path = String(args[0])
    switch (name) {
      case 'open': {
        const isNew = !fs.existsSync(path)
        const fd = act()
        if (isNew) this.#create(path)
        return fd
      }
      case 'writeFile':
      case 'appendFile': {
        const isNew = !fs.existsSync(path)
        if (!isNew) this.#touch(path, inodeOf(path))
        const done = act()
        if (isNew) this.#create(path)
        return done
      }
      case 'rename':
        return this.#rename(path, String(args[1]), act)
      case 'unlink':
      case 'rm':
        this.#noteName(path)
        return act()
      default:
        return act()
    }
  }

  /** The same of a function of a `FileHandle`. */
  onHandle(name: string, path: string, act: () => unknown): unknown {
    if (name === 'sync' || name === 'datasync') this.#sync(path)
    if (['write', 'writeFile', 'appendFile', 'truncate'].includes(name) && fs.existsSync(path))
      this.#touch(path, inodeOf(path))
    return act()
  }

  /** The machine has lost power: what is left of a folder. Returns how many files are not as they were. */
  lose(folder: string, chance: Chance): number {
    let lost = 0
    const isIn = (path: string): boolean => path.startsWith(folder + sep)
    for (const [inode, { path, before }] of this.#written) {
      if (!isIn(path)) continue
      this.#written.delete(inode)
      if (chance.isTrue(WRITTEN_ANYWAY) || !fs.existsSync(path)) continue
      fs.writeFileSync(path, this.#torn(fs.readFileSync(path), before, chance))
      lost += 1
    }
    for (const [path, before] of this.#named) {
      if (!isIn(path)) continue
      this.#named.delete(path)
      if (chance.isTrue(WRITTEN_ANYWAY)) continue
      if (before === null) fs.rmSync(path, { force: true })
      else fs.writeFileSync(path, before)
      lost += 1
    }
    return lost
  }

  /** The beginning of the new bytes, or the old ones. */
  #torn(now: Buffer, before: Buffer, chance: Chance): Buffer {
    return chance.isTrue(0.5) ? before : now.subarray(0, Math.floor(chance.random() * now.length))
  }

  #create(path: string): void {
    if (!this.#named.has(path)) this.#named.set(path, null)
    if (fs.statSync(path).isFile())
      this.#written.set(inodeOf(path), { path, before: Buffer.alloc(0) })
  }

  #touch(path: string, inode: number): void {
    if (!this.#written.has(inode)) this.#written.set(inode, { path, before: fs.readFileSync(path) })
  }

  /** A folder tells the disk its names, a file its bytes. */
  #sync(path: string): void {
    if (!fs.existsSync(path)) return
    if (!fs.statSync(path).isDirectory()) return void this.#written.delete(inodeOf(path))
    for (const named of this.#named.keys())
      if (join(named, '..') === path) this.#named.delete(named)
  }

  #rename(from: string, to: string, act: () => unknown): unknown {
    this.#noteName(to)
    const inode = inodeOf(from)
    const done = act()
    const written = this.#written.get(inode)
    if (written !== undefined) written.path = to
    this.#named.delete(from) // a draft under a name of its own, which nobody looks for
    return done
  }

  /** What the disk has under this name, before it stands for something else. */
  #noteName(path: string): void {
    if (this.#named.has(path)) return
    if (!fs.existsSync(path) || !fs.statSync(path).isFile()) return void this.#named.set(path, null)
    const inode = inodeOf(path)
    this.#named.set(path, this.#written.get(inode)?.before ?? fs.readFileSync(path))
    this.#written.delete(inode)
  }
}

function inodeOf(path: string): number {
  return fs.statSync(path).ino
}
