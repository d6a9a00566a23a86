import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { keptSlices, unboundedFields } from './helper/kept-state.ts'

/** Where objects live as long as a process or a connection. */
const ROOMS = 'admission control credentials ipc observe reply server transform upstream'

const root = join(import.meta.dirname, '..')

function sources(rooms: string) {
  return rooms.split(' ').flatMap((room) =>
    readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => ({
        path: join('src', room, path),
        text: readFileSync(join(root, 'src', room, path), 'utf8')
      }))
  )
}

t.test('whatever can grow says what it is bounded by', async (t) => {
  const files = sources(ROOMS)
  t.ok(files.length > 60, `${files.length} files`)
  t.same(files.flatMap(unboundedFields), [], 'a comment that says "Bounded by …" is missing')
})

t.test('nothing keeps a slice of something larger by accident', async (t) => {
  const found = sources(`${ROOMS} dialects`).flatMap(keptSlices)
  t.same(found, [], 'a comment that says why the slice may stay is missing')
})

const path = 'a.ts'

function classOf(field: string) {
  return { path, text: `class A {\n  ${field}\n\n  f() {}\n}\n` }
}

t.test('unboundedFields()', async (t) => {
  for (const field of [
    `readonly #a = new Map<string, number>()`,
    `#a: Set<string> = new Set()`,
    `#a: string[] = []`,
    `readonly #a: string[]`,
    `#a: readonly string[] = []`,
    `readonly #a: {\n    readonly b: Map<string, number>\n  }`,
    `readonly #a = new OrderedList<B>()`,
    `/** What was seen. */\n  readonly a = new Set()`
  ]) {
    t.same(unboundedFields(classOf(field)).length, 1, field)
  }
  for (const field of [
    `/** Bounded by MAX_A. */\n  readonly #a = new Map<string, number>()`,
    `/**\n   * What was seen. Bounded by\n   * MAX_A.\n   */\n  #a: string[] = []`,
    `readonly #a: ReadonlyMap<string, number>`,
    `readonly #a: readonly string[]`,
    `readonly #a = new WeakMap<object, number>()`,
    `#a = 1`,
    `#f(a: string[]) {\n    const b = new Map()\n  }`
  ]) {
    t.same(unboundedFields(classOf(field)), [], field)
  }
})

t.test('keptSlices()', async (t) => {
  for (const text of [
    `    this.#a = text.slice(1)`,
    `    this.#a ??= text.split(',')`,
    `    this.#a.set(name,\n      text.substring(1)\n    )`,
    `    this.a.push(chunk.subarray(1))`,
    `    this.#a.b = pattern.exec(text)`
  ]) {
    t.same(keptSlices({ path, text }).length, 1, text)
  }
  for (const text of [
    `    this.#a = text`,
    `    const a = text.slice(1)`,
    `    // The slice is gone with the next piece.\n    this.#a = text.slice(1)`,
    `    this.#a = text.slice(1) // a slice of a short text`,
    `    this.#f(text.slice(1))`
  ]) {
    t.same(keptSlices({ path, text }), [], text)
  }
})
