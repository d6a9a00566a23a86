import t from 'tap'
import { type FormParty, type LearntForm, RequestForms } from '../../../src/kiro/wire/hosts.ts'

const runtime: FormParty = {
  host: { url: 'https://runtime.us-east-1.kiro.dev', kind: 'runtime' },
  authType: 'social',
  operation: 'generate'
}
const q: FormParty = {
  host: { url: 'https://q.us-east-1.amazonaws.com', kind: 'q' },
  authType: 'social',
  operation: 'generate'
}

function setUp(setting: 'auto' | 'path' | 'target' = 'auto') {
  const sent: LearntForm[] = []
  const forms = new RequestForms(
    { config: { upstream: { requestForm: setting } } },
    (learnt) => void sent.push(learnt)
  )
  return { forms, sent }
}

t.test(
  'auto begins with the path form and keeps to what was taken on the second try',
  async (t) => {
    const { forms, sent } = setUp()
    t.equal(forms.first(runtime), 'path')
    t.ok(forms.mayBeWrong(runtime, 'path', 'body'), 'nothing is proven')
    forms.accepted(runtime, 'target', true)
    t.equal(forms.first(runtime), 'target')
    t.same(sent, [
      { host: runtime.host.url, authType: 'social', operation: 'generate', form: 'target' }
    ])
    t.notOk(forms.mayBeWrong(runtime, 'target', 'body'), 'the body is at fault now')
    t.equal(forms.first({ ...runtime, authType: 'idc' }), 'path', 'another kind of account')
    forms.accepted(runtime, 'target', true)
    t.equal(sent.length, 1, 'told once')
  }
)

t.test('a proof lapses after three refusals in a row', async (t) => {
  const { forms } = setUp()
  forms.accepted(runtime, 'path', false)
  const refuse = () => forms.mayBeWrong(runtime, 'path', 'body')
  t.same([refuse(), refuse()], [false, false])
  forms.accepted(runtime, 'path', false)
  t.same([refuse(), refuse(), refuse()], [false, false, false], 'counted from the last answer')
  t.ok(refuse())
})

t.test('an unknown operation says so whatever is proven', async (t) => {
  const { forms } = setUp()
  forms.accepted(runtime, 'path', false)
  t.ok(forms.mayBeWrong(runtime, 'path', 'operation'))
})

t.test('a form that is set is final, and q takes one only', async (t) => {
  for (const setting of ['path', 'target'] as const) {
    const { forms } = setUp(setting)
    t.equal(forms.first(runtime), setting)
    t.notOk(forms.mayBeWrong(runtime, setting, 'operation'))
    t.equal(forms.first(q), 'path')
  }
  t.notOk(setUp().forms.mayBeWrong(q, 'path', 'operation'))
})

t.test('what another worker has found out counts here', async (t) => {
  const { forms, sent } = setUp()
  forms.onLearnt({
    host: runtime.host.url,
    authType: 'social',
    operation: 'generate',
    form: 'target'
  })
  t.equal(forms.first(runtime), 'target')
  t.notOk(forms.mayBeWrong(runtime, 'target', 'body'))
  forms.accepted(runtime, 'path', false)
  t.equal(
    forms.first(runtime),
    'target',
    'an answer to the first form that was under way changes nothing'
  )
  t.same(sent, [])
})

t.test('an operation that is new follows the other one, and proves itself', async (t) => {
  const search: FormParty = { ...runtime, operation: 'mcp' }
  for (const [known, fresh] of [
    [search, runtime],
    [runtime, search]
  ] as const) {
    const { forms, sent } = setUp()
    forms.accepted(known, 'target', true)
    t.equal(forms.first(fresh), 'target')
    t.ok(forms.mayBeWrong(fresh, 'target', 'body'), 'nothing is proven of it')
    forms.accepted(fresh, 'path', true)
    t.same([forms.first(known), forms.first(fresh)], ['target', 'path'])
    t.notOk(forms.mayBeWrong(known, 'target', 'body'))
    t.same(
      sent.map(({ operation, form }) => `${operation} ${form}`),
      [`${known.operation} target`, `${fresh.operation} path`]
    )
  }
})

t.test('of q, which takes one form only, nothing is told', async (t) => {
  const { forms, sent } = setUp()
  forms.accepted(q, 'path', true)
  t.same(sent, [])
})
