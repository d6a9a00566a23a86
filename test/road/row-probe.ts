import { appendFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { StatementSync } from 'node:sqlite'
import threads, { Worker } from 'node:worker_threads'

/**
 * Loaded into each process of a gateway (`--import`) and into the thread of the account book: notes who hands a row of usage on.
 * Each time it is made, left for later, sent or inserted, the files of the call stack go to the file that `notes` names, a line each.
 */

const notes = new URL(import.meta.url).searchParams.get('notes') ?? ''
Error.stackTraceLimit = 100

threads.Worker = class extends Worker {
  constructor(file: string | URL, options: threads.WorkerOptions = {}) {
    const isBook = String(file).endsWith('usage-book.ts')
    super(file, isBook ? { ...options, execArgv: ['--import', import.meta.url] } : options)
  }

  override postMessage(message: unknown, ...more: []): void {
    if (countOf(message, 'batch') > 0) note()
    super.postMessage(message, ...more)
  }
}

const { now } = Date
Date.now = () => {
  if (new Error('where').stack?.includes('toUsageRow') === true) note() // a row says when it was made
  return now()
}

const { setTimeout: later } = globalThis
const noted = (...args: readonly unknown[]): unknown => {
  if (
    ['key-control.ts', 'usage-book.ts'].every((name) => stack().some((file) => file.endsWith(name)))
  )
    note()
  return Reflect.apply(later, null, args)
}
Object.assign(globalThis, { setTimeout: Object.assign(noted, later) })

// oxlint-disable-next-line typescript/unbound-method -- it is called with `process` below
const { send } = process
if (send !== undefined)
  Object.assign(process, {
    send: (...args: readonly unknown[]): unknown => {
      if (countOf(args[0]) > 0) note()
      return Reflect.apply(send, process, args)
    }
  })

// oxlint-disable-next-line typescript/unbound-method -- it is called with its statement below
const { run } = StatementSync.prototype
StatementSync.prototype.run = function (this: StatementSync, ...values: readonly unknown[]) {
  if (this.sourceSQL.startsWith('INSERT INTO requests')) note()
  return Reflect.apply(run, this, values) as ReturnType<typeof run>
}
syncBuiltinESMExports()

/** The rows of usage in a message, or in a part of it. */
function countOf(message: unknown, part?: string): number {
  const whole = message as Readonly<Record<string, unknown>> | null
  const inside = (part === undefined ? whole : whole?.[part]) as
    | { readonly rows?: readonly unknown[] }
    | null
    | undefined
  return inside?.rows?.length ?? 0
}

function note(): void {
  appendFileSync(notes, `${JSON.stringify(stack())}\n`)
}

/** The gateway's files that are being run, the innermost first. */
function stack(): readonly string[] {
  const frames = new Error('where').stack?.matchAll(/\/((?:src|workers)\/[^:\s?)]+\.ts)/g) ?? []
  return [...new Set(Array.from(frames, ([, file = '']) => file))]
}
