import t from 'tap'
import { redactText, withoutQuotations } from '../../../src/kiro/wire/fault.ts'
import { cpuMs } from '../../helper/cost.ts'

t.test('withoutQuotations()', (t) => {
  t.test('leaves out what a message quotes, with all that is between', (t) => {
    const secret = "my secret, \"word\" by 'word' and `word`, it's not long enough for you to guess"
    for (const marks of ['""', "''", '``', '“”', '„“', '‘’']) {
      const [open = '', close = ''] = marks
      const shown = withoutQuotations(`Refused ${open}${secret}${close} in this place`)
      t.notMatch(shown, /secret|guess/, open)
      t.match(shown, /^Refused ‹\d+ characters› in this place$/, open)
      t.match(withoutQuotations(`Refused ${open}${secret}…`), /^Refused ‹\d+ characters›$/, open)
    }
    t.end()
  })

  t.test('leaves out a value that AWS refuses, however short, and keeps its place', (t) => {
    t.equal(
      withoutQuotations(
        "1 validation error detected: Value 'it's x' at 'conversationState.history.1.content' failed to satisfy constraint"
      ),
      '1 validation error detected: Value ‹6 characters› at conversationState.history.1.content failed to satisfy constraint'
    )
    t.end()
  })

  t.test('leaves names, and apostrophes', (t) => {
    for (const text of [
      "The tool 'mcp__server__a_name' has no result.",
      'The model "claude-x" is not available.',
      "We've locked it. Users' requests don't pass while it's so, and they won't pass before it isn't any more."
    ]) {
      t.equal(withoutQuotations(text), text)
    }
    t.end()
  })

  t.test('takes no time that grows by the square of much', (t) => {
    for (const text of ["'", " '", '"', "value '", "value 'a' at '", '“', '`']) {
      const tookMs = cpuMs(() => withoutQuotations(text.repeat(2000).slice(0, 2000)))
      t.ok(tookMs < 500, `${tookMs} ms of CPU`)
    }
    t.end()
  })
  t.end()
})

t.test('redactText()', (t) => {
  t.test('takes out tokens of every known shape, and the secrets it is told', (t) => {
    const secrets = [
      `ksk_${'a1B2'.repeat(6)}`,
      `aoaAAAAA${'x9/+'.repeat(20)}:more`,
      `aorAAAAA${'y'.repeat(30)}`,
      `eyJhbGciOiJub25lIn0.${'e30'.repeat(9)}.sig`,
      'Zm9v'.repeat(6) + 'B4r'.repeat(8)
    ]
    for (const secret of secrets) t.notMatch(redactText(`token ${secret} is bad`, 500), secret)
    t.equal(redactText('Bearer abcdefghijklmnopqrs was sent', 99), '[secret] was sent')
    t.equal(redactText('you sent t0p', 99, ['t0p']), 'you sent [secret]')
    t.equal(redactText('nothing', 99, ['']), 'nothing')
    t.end()
  })
  t.test('leaves what people need to read', (t) => {
    for (const text of [
      'The bearer token included in the request is invalid.',
      'arn:aws:codewhisperer:us-east-1:699475941385:profile/EHGA3GRVQMUK',
      'tool mcp__some_server__a_rather_long_name_of_a_tool_indeed is defined twice',
      'request 0d5e2f3c-7d0c-4f43-8a0e-1b2c3d4e5f60'
    ]) {
      t.equal(redactText(text, 500), text)
    }
    t.end()
  })
  t.test('makes one line of at most the length asked for', (t) => {
    t.equal(redactText('a\n\u0000 b\r\n', 10), 'a b')
    t.equal(redactText('12345', 5), '12345')
    t.equal(redactText('123456', 5), '1234…')
    t.equal(redactText('word '.repeat(400_000), 20).length, 20)
    t.end()
  })
  t.end()
})
