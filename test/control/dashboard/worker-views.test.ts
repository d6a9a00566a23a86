import t from 'tap'
import { WorkerViews } from '../../../src/control/dashboard/worker-views.ts'

const seen = (requestId: number) => ({ name: 'seen', requestId, metrics: [], running: [] }) as const

t.test('only workers that have told nothing just now are asked', async (t) => {
  const asked: string[] = []
  const views = new WorkerViews(
    () => ['a', 'b'],
    (member, requestId) => {
      asked.push(member)
      setImmediate(() => views.onSeen(member, seen(requestId)))
    }
  )
  await views.look()
  t.same(asked.splice(0), ['a', 'b'])
  await views.look()
  t.same(asked, [], 'what they have told is new enough')
  await new Promise((resolve) => setTimeout(resolve, 250))
  views.onSeen('a', seen(0)) // by itself, ahead of the next look
  await views.look()
  t.same(asked.splice(0), ['b'])
  views.onLeft('a')
  await views.look()
  t.same(asked, ['a'], 'a new process of this name is another one')
})
