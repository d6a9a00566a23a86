import t from 'tap'
import { growthOf } from './growth.ts'

/** Work that takes so many milliseconds of CPU for an input of so many kilobytes. */
function taking(msOf: (kb: number) => number) {
  return (kb: number) => () => {
    const start = process.threadCpuUsage()
    for (let ms = 0; ms < msOf(kb); ) {
      const { user, system } = process.threadCpuUsage(start)
      ms = (user + system) / 1000
    }
  }
}

t.test('work that grows with its input, and work that grows by the square', async (t) => {
  t.ok(growthOf(taking((kb) => kb / 8)).isLinear)
  t.ok(growthOf(taking((kb) => (kb / 8) * Math.log2(kb))).isLinear, 'sorting is no square')
  const { isLinear, told } = growthOf(taking((kb) => (kb / 64) ** 2 * 5))
  t.notOk(isLinear)
  t.match(told, /^128 KB in [\d.]+ ms, 256 KB in [\d.]+ ms, 512 KB in [\d.]+ ms$/)
})
