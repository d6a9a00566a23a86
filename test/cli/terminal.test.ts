import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { ProcessTerminal, toColumns } from '../../src/cli/terminal.ts'

/** A terminal whose standard output is collected. */
function terminalOf(t: Test, facts: { readonly isTTY: boolean; readonly rows?: number }) {
  const stdout = Object.assign(new PassThrough(), facts)
  const streams = { stdin: new PassThrough(), stdout, stderr: new PassThrough() }
  const terminal = new ProcessTerminal(streams, new AbortController().signal, {
    program: 'kiro-gateway',
    isJson: false
  })
  t.teardown(() => terminal[Symbol.dispose]())
  return { terminal, written: () => String(stdout.read() ?? '') }
}

t.test('ProcessTerminal.redraw()', (t) => {
  t.test('goes back over what it drew, whose lines never took more than one row', async (t) => {
    const { terminal, written } = terminalOf(t, { isTTY: true, rows: 4 })
    terminal.redraw(['a'.repeat(500), 'b', 'c', 'd'])
    t.equal(written(), `\u001b[?7l${'a'.repeat(500)}\nb\nc\n\u001b[?7h`, 'as much as fits')
    terminal.redraw(['e', '\u001b[2Jf'])
    t.equal(written(), '\u001b[3A\r\u001b[J\u001b[?7le\n[2Jf\n\u001b[?7h')
  })

  t.test('writes plain lines where no person sees them', async (t) => {
    const { terminal, written } = terminalOf(t, { isTTY: false })
    terminal.redraw(['a', 'b'])
    t.equal(written(), 'a\nb\n')
    terminal.redraw(['c'])
    t.equal(written(), 'c\n')
  })
  t.end()
})

t.test('toColumns()', async (t) => {
  const rows = [
    ['NAME', 'N', 'LAST'],
    ['anna', '10', 'x'],
    ['b', '2', 'longer']
  ]
  t.same(toColumns(rows), ['NAME  N   LAST', 'anna  10  x', 'b     2   longer'])
  t.same(toColumns([]), [])
})
