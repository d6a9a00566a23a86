import t from 'tap'
import { SharedLessons } from '../../../src/control/account/shared-lessons.ts'
import type { ToWorker } from '../../../src/ipc/messages.ts'
import { newGauge, type TokenLesson } from '../../../src/kiro/tokens/token-gauge.ts'
import { recordedLog } from '../../helper/recorded-log.ts'

/** Knows nothing, and learns nothing. */
const tokens = { learn: () => {}, all: () => ({ gauges: [], isAll: true }) }
const host = 'https://runtime.us-east-1.kiro.dev'
const learntForm = { host, authType: 'social', operation: 'generate', form: 'target' } as const
const lesson = { type: 'form.lesson', ...learntForm } as const

t.test('a form is told to all and logged once, and told to whoever comes later', async (t) => {
  const { log, text } = recordedLog()
  const told: ToWorker[] = []
  const lessons = new SharedLessons({ log, tell: (learnt) => void told.push(learnt), tokens })
  lessons.onLesson(lesson)
  lessons.onLesson(lesson)
  const learnt = { type: 'form.learnt', ...learntForm }
  t.same(told, [learnt])
  t.same(lessons.all(), [learnt])
  t.equal(text().split('upstream accepts this request form').length, 2)
  lessons.onLesson({ ...lesson, form: 'path' })
  t.same(lessons.all(), [{ ...learnt, form: 'path' }])
  lessons.onLesson({ ...lesson, operation: 'mcp' })
  t.same(lessons.all(), [
    { ...learnt, form: 'path' },
    { ...learnt, operation: 'mcp' }
  ])
})

t.test('a window that contradicts the estimates is told of once', async (t) => {
  const { log, text } = recordedLog()
  const lessons = new SharedLessons({ log, tell: () => {}, tokens })
  const learn = (measured: number, times: number, model = 'm', groups = [10_000]) => {
    for (let count = 0; count < times; count++)
      lessons.onLesson({ type: 'calibration.lesson', model, groups, measured, within: 1 })
  }
  learn(3_000, 4)
  learn(10_000, 1)
  learn(36_800, 4)
  learn(36_800, 4, 'another')
  learn(2_000, 20, 'hello', [10])
  t.notMatch(text(), 'context window')
  learn(36_800, 20)
  t.match(text(), /"model":"m","estimated":10000,"measured":36800,.*MODEL_CONTEXT_WINDOWS/)
  t.equal(text().split('context window').length, 2)
})

t.test('lessons of tokens are learnt, and whoever comes later hears what is known', async (t) => {
  const { log } = recordedLog()
  const taught: TokenLesson[] = []
  const gauges = [newGauge('m')]
  const known = {
    learn: (one: TokenLesson) => void taught.push(one),
    all: () => ({ gauges, isAll: true })
  }
  const lessons = new SharedLessons({ log, tell: () => {}, tokens: known })
  const measured = { model: 'm', groups: [1000], measured: 1500, within: 10 }
  lessons.onLesson({ type: 'calibration.lesson', ...measured })
  t.same(taught, [measured])
  t.same(lessons.all(), [{ type: 'calibration.learnt', gauges, isAll: true }])
})

t.test(
  'what was found out about a conversation goes to all, and to whoever comes later',
  async (t) => {
    const { log } = recordedLog()
    const told: ToWorker[] = []
    const lessons = new SharedLessons({ log, tell: (learnt) => void told.push(learnt), tokens })
    const parts = { conversationId: 'a', hashes: ['1'] }
    lessons.onLesson({ type: 'conversation.lesson', ...parts })
    t.same(told, [{ type: 'conversation.learnt', ...parts }])
    t.same(lessons.all(), [{ type: 'conversation.learnt', ...parts }])
  }
)

t.test(
  'keys that the upstream has accepted are told to all, and to whoever comes later',
  async (t) => {
    const { log } = recordedLog()
    const told: ToWorker[] = []
    const lessons = new SharedLessons({ log, tell: (learnt) => void told.push(learnt), tokens })
    for (let index = 0; index <= 1024; index++)
      lessons.onLesson({ type: 'kiro-key.lesson', name: `k${index}`, isAccepted: true })
    lessons.onLesson({ type: 'kiro-key.lesson', name: 'k7', isAccepted: false })
    t.same(told.at(-1), { type: 'kiro-key.learnt', name: 'k7', isAccepted: false })
    t.equal(told.length, 1026)
    const names = lessons.all().map((learnt) => 'name' in learnt && learnt.name)
    t.equal(names.length, 1023, 'the oldest is forgotten, and the one that is refused')
    t.notOk(names.includes('k0') || names.includes('k7'))
  }
)
