import t from 'tap'
import { moveAssistantImages } from '../../../src/kiro/conversation/build.ts'
import { PlacedRepairs } from '../../../src/kiro/rules/repairs.ts'
import { textMessage } from '../../../src/kiro/wire/message.ts'

const image = (bytes: string) => ({ format: 'png', source: { bytes } }) as const

t.test('moveAssistantImages()', async (t) => {
  const turns = [
    { ...textMessage('user', 'draw'), images: [image('A')] },
    {
      ...textMessage('assistant', 'here'),
      images: [image('B'), image('C')],
      source: 'messages[1]'
    },
    { ...textMessage('user', 'again'), images: [image('D')] },
    textMessage('assistant', 'no'),
    textMessage('user', 'why')
  ]
  const repairs = new PlacedRepairs()
  const moved = moveAssistantImages(turns, repairs)
  t.same(
    moved.map(({ images }) => images.map(({ source }) => source.bytes).join('')),
    ['A', '', 'BCD', '', '']
  )
  t.same(repairs.places, [{ code: 'image-moved', pointer: '/messages/1' }])
  t.equal(turns[1]?.images.length, 2, 'what it was given stays as it was')
  const untouched = moveAssistantImages(turns.slice(3), new PlacedRepairs())
  t.same(untouched, turns.slice(3))
})
