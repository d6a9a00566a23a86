import t from 'tap'
import { promptOf } from '../../src/simulator/generation.ts'
import { checkRequest } from '../strict-simulator/request-rules.ts'
import { next } from '../helper/simulated-words.ts'
import { upstreamRequest } from '../helper/simulator-request.ts'

/** What the last of these user turns is answered as. */
function promptAfter(...turns: string[]): string {
  const [current = '', ...earlier] = turns.toReversed()
  const history = earlier
    .toReversed()
    .flatMap((content) => [
      { userInputMessage: { content, modelId: 'auto' } },
      { assistantResponseMessage: { content: 'yes' } }
    ])
  const view = checkRequest(
    upstreamRequest(current, { state: history.length > 0 ? { history } : {} })
  )
  if ('status' in view) throw new Error(JSON.stringify(view))
  return promptOf(view).content
}

t.test('promptOf()', async (t) => {
  t.equal(promptAfter('hi'), 'hi')
  t.equal(promptAfter('hi', 'there'), 'there')
  t.equal(promptAfter(`hi ${next('b')}`), `hi ${next('b')}`, 'not in the turn itself')
  t.equal(promptAfter(`hi ${next('b')}`, 'there'), 'b')
  t.equal(promptAfter(`hi ${next('b')}`, 'there', 'again'), 'again', 'for one turn only')
  const chain = next(`b ${next(`c ${next('d')}`)}`)
  t.equal(promptAfter(chain, 'x', 'y'), `c ${next('d')}`)
  t.equal(promptAfter(chain, 'x', 'y', 'z'), 'd')
  t.equal(promptAfter(chain, 'x', 'y', 'z', 'end'), 'end')
  const rounds = `a sim:rounds=3 ${next('b')}`
  t.equal(promptAfter(rounds, 'x', 'y'), rounds, 'the third round')
  t.equal(promptAfter(rounds, 'x', 'y', 'z'), 'b')
  t.equal(promptAfter('a sim:rounds=2', 'x', 'y'), 'y', 'over')
  t.equal(promptAfter(chain, 'sim:gap=0'), 'sim:gap=0', 'words of its own win')
})
