import t from 'tap'
import { BUILT_IN_MODELS } from '../../../src/kiro/models/models.ts'
import { nearNames } from '../../../src/kiro/models/near-names.ts'

const KNOWN = [...BUILT_IN_MODELS.map(({ id }) => id), 'fast']

const near = (name: string) => nearNames(name, KNOWN)

t.test('nearNames()', async (t) => {
  t.same(near('kimi-k2'), ['kimi-k3'], 'a letter off')
  t.same(near('fsat'), ['fast'], 'an alias')
  t.same(near('GLM5'), ['glm-5'])
  t.same(near('gtp-5'), ['gpt-5.6-terra', 'gpt-5.6-sol', 'gpt-5.6-luna'], 'a family misspelt')
  t.same(
    near('sonnet'),
    ['claude-sonnet-5.5', 'claude-sonnet-5', 'claude-sonnet-4.6'],
    'the newest'
  )
  t.same(near('qwen-coder'), ['qwen3-coder-next'])
  t.same(near('deepseek-r1'), ['deepseek-3.2'])
  for (const name of ['gemini-2.5-pro', 'llama-4', 'o3', 'x', '']) t.same(near(name), [], name)
  t.same(near('x'.repeat(1_000_000)), [], 'not compared as a whole')
})
