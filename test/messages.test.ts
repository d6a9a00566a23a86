import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '..')

/** A log message that a test waits for or looks for: `msg === '…'`, `msg: '…'`, `isMessage('…')`, `starts('…')`. */
const MESSAGE =
  /(?:\bmsg(?:'\])?(?: ===|:)|\b(?:isMessage|starts)\() ?\n? *(?:'((?:[^'\\\n]|\\.)+)'|"([^"\n]+)")/g

/** Messages that tests expect of the gateway, each up to its first figure: what follows is made as it runs. */
function messagesIn(text: string): readonly string[] {
  return [...text.matchAll(MESSAGE)].map(([, single, double = '']) =>
    (single?.replaceAll("\\'", "'") ?? double).replace(/\d.*$/s, '')
  )
}

/** Source without what divides a message over lines. */
function asOneLine(source: string): string {
  return source
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/['`] \+ ['`]/g, '')
    .replaceAll("\\'", "'")
}

function textOf(paths: readonly string[]): string {
  return paths.map((path) => readFileSync(join(root, path), 'utf8')).join('\n')
}

t.test('a message that a test waits for is one that the gateway logs', async (t) => {
  const source = asOneLine(textOf(globSync('{src,workers}/**/*.{ts,js}', { cwd: root })))
  // Tests of the logger log messages of their own.
  const paths = globSync('test/**/*.ts', {
    cwd: root,
    exclude: ['test/observe/**', 'test/messages*']
  })
  const messages = paths.flatMap((path) =>
    messagesIn(textOf([path])).map((message) => ({ path, message }))
  )
  t.ok(messages.length > 60, `${messages.length} messages`)
  const unknown = messages.filter(({ message }) => !source.includes(message))
  t.same(unknown, [], 'it would be waited for until the time of the test is over')
})

t.test('messagesIn()', async (t) => {
  const text = [
    "logged(({ msg }) => msg === 'one message')",
    `lines.some((line) => line['msg'] === "the fleet's message")`,
    "t.match(line, { msg: 'workers: 2 of them' })",
    "logged(\n      isMessage(\n        'a message of its own line')"
  ]
  t.same(text.flatMap(messagesIn), [
    'one message',
    "the fleet's message",
    'workers: ',
    'a message of its own line'
  ])
  t.equal(asOneLine("log.warn('one ' +\n    'message')"), "log.warn('one message')")
})
