import { writeSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { DatabaseSync } from 'node:sqlite'
import { CredentialRefresher } from '../../src/credentials/refresher.ts'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import type { JsonCall } from '../../src/upstream/call/json-exchange.ts'
import { recordedLog } from './recorded-log.ts'
import { credentialSettings } from './stored-credential.ts'
import { undiciJsonCall } from './undici-json-call.ts'

/**
 * A process that renews a sign-in and is killed, by itself, before the n-th step that changes anything on disk after the
 * token service has answered. Says each token that it takes into use, and `done` if there were fewer steps.
 *
 *     node killed-renewal.ts '{"killAt":3,"authUrl":"http://…","settings":{…}}'
 */

interface Task {
  readonly killAt: number
  readonly authUrl: string
  readonly settings: Parameters<typeof credentialSettings>[0]
}

const task = JSON.parse(process.argv[2] ?? '') as Task
let isAnswered = false
let steps = 0

function step(): void {
  if (!isAnswered) return
  steps += 1
  if (steps === task.killAt) process.kill(process.pid, 'SIGKILL')
}

/** Makes methods count as steps. */
function watch(target: object, names: readonly string[]): void {
  for (const name of names) {
    const method = Reflect.get(target, name) as (...args: unknown[]) => unknown
    Reflect.set(target, name, function (this: unknown, ...args: unknown[]) {
      step()
      return method.apply(this, args)
    })
  }
}

const probe = await fs.open(import.meta.filename)
watch(Object.getPrototypeOf(probe) as object, ['writeFile', 'chmod', 'sync'])
await probe.close()
watch(fs, ['open', 'rename', 'unlink', 'mkdir'])
syncBuiltinESMExports()
watch(DatabaseSync.prototype, ['exec', 'prepare', 'close'])

const { call, close } = undiciJsonCall()
const watchedCall: JsonCall = async (request, signal) => {
  const response = await call(request, signal)
  isAnswered = true
  return response
}
const settings = credentialSettings(task.settings)
const { log } = recordedLog()
const source = createCredentialSource(settings, log)
if (source === null) throw new Error('no source')
const { authUrl, authUrl: oidcUrl } = task
const refresher = new CredentialRefresher({
  source,
  settings,
  upstream: { apiUrl: null, managementUrl: null, authUrl, oidcUrl, userAgent: 'ua' },
  call: watchedCall,
  log,
  onChange: () => {
    const token = refresher.current()?.token
    if (token !== undefined) writeSync(1, `${token}\n`)
  }
})
await refresher.start()
writeSync(1, 'done\n')
await refresher.close()
await close()
