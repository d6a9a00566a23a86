import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { SignInActions, type PanelAccount } from '../../../src/control/panel/sign-in-actions.ts'
import type { PanelAnswer } from '../../../src/ipc/panel.ts'
import { parseJsonObject } from '../../../src/shared/json.ts'
import { FakeSignInServices } from '../../helper/fake-sign-in-services.ts'
import { panelCall } from '../../helper/panel-call.ts'
import { undiciJsonCall } from '../../helper/undici-json-call.ts'

async function signInActions(t: Test, account: Partial<PanelAccount> = {}) {
  const services = await new FakeSignInServices().listen()
  const { call, close } = undiciJsonCall()
  const { url } = services
  const env = { STATE_DIR: t.testdir({}), KIRO_OIDC_URL: url, KIRO_AUTH_URL: url }
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('no config')
  const { config } = loaded
  const panel = new SignInActions({
    config: () => config,
    isSimulated: false,
    signIn: () => ({
      isOwn: true,
      sourceName: null,
      forget: (remove) => remove(),
      lookAgain: async () => {},
      ...account
    }),
    call,
    state: {
      look: () => {
        throw new Error('not wanted')
      }
    },
    audit: { note: async () => {} }
  })
  t.teardown(async () => {
    panel.close()
    services.close()
    await close()
  })
  return { panel, services }
}

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of many shapes
function jsonOf(answer: PanelAnswer): any {
  return answer.name === 'answer' ? parseJsonObject(answer.body) : answer
}

t.test('two operators begin a sign-in at once: there is one', async (t) => {
  const { panel } = await signInActions(t)
  const answers = await Promise.all([
    panel.begin(panelCall({ provider: 'google' })),
    panel.begin(panelCall({ provider: 'github' }))
  ])
  // Each reads its call by itself: either may be the first.
  const [begun] = answers.filter(({ name }) => name === 'answer').map(jsonOf)
  const [refused] = answers.filter(({ name }) => name === 'refusal')
  t.match(begun, { flow: { provider: /google|github/, state: 'waiting' } })
  t.match(refused, { error: { code: 'GW_CONFLICT' }, more: { flow: { id: begun?.flow.id } } })
})

t.test('a sign-in that is being saved cannot be cancelled', async (t) => {
  const looking = Promise.withResolvers<void>()
  const saved = Promise.withResolvers<void>()
  const lookAgain = async (): Promise<void> => {
    looking.resolve()
    await saved.promise
  }
  const { panel, services } = await signInActions(t, { lookAgain })
  const { flow } = jsonOf(await panel.begin(panelCall({ provider: 'google' })))
  const paste = panelCall({ address: services.browse(flow.url) })
  const pasted = panel.paste(paste)
  await looking.promise
  await t.rejects(panel.cancel(panelCall()), { code: 'GW_CONFLICT', message: /being saved/ })
  await t.rejects(panel.paste(paste), { code: 'GW_CONFLICT' })
  t.match(jsonOf(await panel.begin(panelCall({ provider: 'google' }))), {
    error: { code: 'GW_CONFLICT' },
    more: { flow: { state: 'saving', needs_paste: false, sentence: /being saved/ } }
  })
  saved.resolve()
  t.match(jsonOf(await pasted), { flow: { state: 'done' } })
  await t.rejects(panel.cancel(panelCall()), { message: 'No sign-in is running.' })
})
