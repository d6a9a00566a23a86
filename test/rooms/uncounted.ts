import { createRequire } from 'node:module'

/**
 * For `--import`: where tap counts no coverage, the processes that a test starts don't load tap's own modules, either. They cost
 * each gateway a tenth of its CPU time.
 */

interface ProcessOnSpawn {
  removeAllListeners(): void
}

if (process.env['_TAPJS_PROCESSINFO_COVERAGE_'] === '0') {
  const require = createRequire(import.meta.resolve('@tapjs/processinfo'))
  const onSpawn = require('process-on-spawn') as ProcessOnSpawn
  onSpawn.removeAllListeners()
}
