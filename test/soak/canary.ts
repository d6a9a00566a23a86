import { closeSync, ftruncateSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { CoreWaits } from '../bench/core-waits.ts'
import { OwnDelay } from '../bench/loop-delay-probe.ts'

/**
 * `canary.ts FOLDER`: a process that does nothing but append to a file there, a line each ten milliseconds, as gateways append to
 * their journals. What holds it up is the machine's: a disk that is busy for others, a host that runs something else. SIGURG has it
 * write the longest that it stood still since the last one to `FOLDER/<pid>`, in ms.
 */

const EVERY_MS = 10
const MOST_LINES = 10_000
const LINE = Buffer.from(`${'.'.repeat(199)}\n`)

const folder = process.argv[2] ?? '.'
const file = openSync(`${folder}/canary`, 'a')
const own = new OwnDelay(new CoreWaits(process.pid))
let lines = 0
setInterval(() => {
  writeSync(file, LINE)
  if (++lines % MOST_LINES === 0) ftruncateSync(file, 0)
}, EVERY_MS)
process.on('SIGURG', () => {
  const path = `${folder}/${process.pid}`
  writeFileSync(`${path}.part`, JSON.stringify({ stallMs: own.takeWorst().ms }))
  renameSync(`${path}.part`, path)
})
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => {}) // it ends with the soak
process.on('disconnect', () => {
  closeSync(file)
  process.exit()
})
process.send?.('ready')
