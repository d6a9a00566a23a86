import t from 'tap'
import { findWishedCalls } from '../../src/simulator/wished-calls.ts'
import { findControlWords } from '../../src/simulator/words.ts'
import { shellTools } from './client.ts'
import { hasText, hiddenString } from './hidden-words.ts'

t.test('hidden text is said by the simulator, and is not in the prompt', async (t) => {
  const text = 'word ü 漢字 🙂 "quoted" \\ end'
  const prompt = `sim:say=${hiddenString(text)}`
  t.equal(findControlWords(prompt).say, text)
  t.notOk(hasText(prompt, 'word'))
})

t.test(
  'the simulator understands the calls of a shell, whatever the text to be written',
  async (t) => {
    const tools = [{ name: 'Bash', schema: { type: 'object' } }]
    const shell = shellTools((command) => `Bash with ${JSON.stringify({ command })}`)
    const calls = [shell.write('a.txt', `it's {"x":"}"} \\d`), shell.read('b.txt')]
    t.same(findWishedCalls(`use tools ${calls.join(' and ')}`, tools), [
      { name: 'Bash', input: { command: `printf '%s' 'it'\\''s {"x":"}"} \\d' > a.txt` } },
      { name: 'Bash', input: { command: 'cat b.txt' } }
    ])
  }
)
