import t from 'tap'
import { maskSecrets, textDiff } from '../../../src/cli/setup/text-diff.ts'

function numbered(from: number, to: number): string {
  return Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}\n`).join('')
}

t.test('textDiff()', async (t) => {
  t.test('shows what changes, and three lines around it', async (t) => {
    const before = numbered(1, 30)
    const after = before.replace('line 5\n', 'line five\nand more\n').replace('line 28\n', '')
    t.same(textDiff(before, after, []), [
      '@@',
      '  line 2',
      '  line 3',
      '  line 4',
      '- line 5',
      '+ line five',
      '+ and more',
      '  line 6',
      '  line 7',
      '  line 8',
      '@@',
      '  line 25',
      '  line 26',
      '  line 27',
      '- line 28',
      '  line 29',
      '  line 30'
    ])
  })

  t.test('shows nothing where nothing changes', async (t) => {
    t.same(textDiff('a\r\nb\r\n', 'a\r\nb\r\n', []), [])
    t.same(textDiff('', '', []), [])
  })

  t.test('shows a file that is made, or goes', async (t) => {
    t.same(textDiff('', '\ufeffa\r\nb', []), ['+ a', '+ b'])
    t.same(textDiff('a\n', '', []), ['- a'])
    const long = textDiff('', numbered(1, 1_500), [])
    t.same([long.length, long[0]], [1_500, '+ line 1'])
  })

  t.test('keeps two texts that have nothing in common short', async (t) => {
    const [before, after] = [numbered(1, 3000), numbered(4000, 7000)]
    t.equal(textDiff(before, after, []).length, 6001)
  })
})

t.test('maskSecrets()', async (t) => {
  for (const [line, masked] of [
    ['key = my-key', 'key = ***'],
    ['  "ANTHROPIC_AUTH_TOKEN": "sk-ant-1",', '  "ANTHROPIC_AUTH_TOKEN": "***",'],
    ['experimental_bearer_token = "abc" # mine', 'experimental_bearer_token = "***" # mine'],
    ['    apiKey: abc # mine', '    apiKey: *** # mine'],
    ["password: 'abc'", "password: '***'"],
    ['{"apiKey":"abc","name":"x"}', '{"apiKey":"***","name":"x"}'],
    ['"x": "sk-ant-api03-abcdefghijklmnop"', '"x": "***"'],
    ['url = "http://me:secret@host/v1"', 'url = "http://***@host/v1"'],
    ['env_key = "GATEWAY_KEY"', 'env_key = "GATEWAY_KEY"'],
    ['"envKey": "GATEWAY_KEY",', '"envKey": "GATEWAY_KEY",'],
    ['"apiKey": "$GATEWAY_KEY"', '"apiKey": "$GATEWAY_KEY"'],
    ['"apiKey": "{env:KEY}"', '"apiKey": "{env:KEY}"'],
    ['max_tokens = 4096', 'max_tokens = 4096'],
    ['"model": "claude-sonnet-5.5"', '"model": "claude-sonnet-5.5"']
  ] as const) {
    t.equal(maskSecrets(line, ['my-key']), masked)
  }
})
