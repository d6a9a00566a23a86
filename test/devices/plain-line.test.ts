import t from 'tap'
import { plainLine } from '../../src/devices/plain-line.ts'

t.test('what a program says of itself', async (t) => {
  t.equal(plainLine('tool\u009b31m\u00ad/1.0\u202e', 64), 'tool31m/1.0', 'moves no terminal')
  t.equal(plainLine(`x${'😀'.repeat(64)}`, 64), `x${'😀'.repeat(15)}`, 'no half characters')
  t.equal(plainLine('漢'.repeat(64), 64), '漢'.repeat(21), 'bytes count')
  t.equal(plainLine(' a host ', 64), 'a host')
})
