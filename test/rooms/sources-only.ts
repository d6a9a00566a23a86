/**
 * For `--import`, before tap's own modules: coverage is counted outside of `test/` and `node_modules/`. tap's option for that puts
 * the path of every excluded file into one variable of the environment, and Linux starts no process with one of 128 KiB.
 */

const NAME = '_TAPJS_PROCESSINFO_COV_EXCLUDE_'

const exclude = process.env[NAME] ?? ''
if (exclude.startsWith('/^') && !exclude.includes('|'))
  process.env[NAME] = exclude.replace(/node_modules\/$/, '(?:node_modules|test)\\/')
