import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import {
  askForModels,
  ensureModel,
  FallbackModels,
  gatewayUrl,
  modelFor
} from '../../../src/cli/setup/gateway.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { findModel } from '../../../src/kiro/models/models.ts'

const SIGNAL = new AbortController().signal

function configOf(env: Readonly<Record<string, string>>) {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('no config')
  return loaded.config
}

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('gatewayUrl()', async (t) => {
  t.test('goes by the settings', async (t) => {
    const key = { PROXY_API_KEY: 'a-key-of-sixteen-characters' }
    for (const [env, url] of [
      [{}, 'http://127.0.0.1:8000'],
      [{ SERVER_PORT: '9000' }, 'http://127.0.0.1:9000'],
      [{ SERVER_HOST: '0.0.0.0', ...key }, 'http://127.0.0.1:8000'],
      [{ SERVER_HOST: '::', ...key }, 'http://127.0.0.1:8000'],
      [{ SERVER_HOST: '::1' }, 'http://[::1]:8000'],
      [{ SERVER_HOST: 'gateway.lan', ...key }, 'http://gateway.lan:8000']
    ] as const) {
      t.equal(gatewayUrl(null, configOf(env)), url)
    }
    t.throws(() => gatewayUrl(null, configOf({ SERVER_PORT: '0' })), { name: 'UsageError' })
  })

  t.test('takes an address in any of its spellings', async (t) => {
    for (const given of [
      'https://g.example/kiro',
      'https://g.example/kiro/',
      'https://g.example/kiro/v1',
      'https://g.example/kiro/v1/'
    ]) {
      t.equal(gatewayUrl(given, configOf({})), 'https://g.example/kiro')
    }
    t.equal(gatewayUrl('http://localhost:8000', configOf({})), 'http://localhost:8000')
    for (const given of [
      'localhost:8000',
      'ftp://x',
      'http://me:key@host',
      'http://host?key=1',
      'host'
    ]) {
      t.throws(() => gatewayUrl(given, configOf({})), { name: 'UsageError' }, given)
    }
  })
})

t.test('askForModels()', async (t) => {
  t.test('takes what a client needs to know of each', async (t) => {
    const url = await serve(t, (request, response) => {
      t.equal(request.headers.authorization, 'Bearer a-key')
      const model = {
        id: 'claude-x',
        display_name: 'X',
        max_input_tokens: 1000,
        max_tokens: 100,
        capabilities: { image_input: { supported: false }, thinking: { supported: true } }
      }
      response.end(JSON.stringify({ data: [model, { id: 'mine' }, { name: 'no id' }, null] }))
    })
    t.same(await askForModels({ url, key: 'a-key' }, SIGNAL), {
      name: 'listed',
      models: [
        {
          id: 'claude-x',
          name: 'X',
          contextWindow: 1000,
          maxOutputTokens: 100,
          takesImages: false,
          thinks: true
        },
        { id: 'mine', name: 'mine', takesImages: true, thinks: false }
      ]
    })
  })

  for (const [what, status, body, name] of [
    ['a gateway that wants another key', 401, '{}', 'refused'],
    ['a proxy whose gateway is down', 502, '<html>', 'silent'],
    ['another server', 404, '<html>', 'stranger'],
    ['another server that answers', 200, '<html>', 'stranger'],
    ['another server that leads elsewhere', 302, '', 'stranger'],
    ['a list without models', 200, '{"data":[]}', 'stranger']
  ] as const) {
    t.test(`knows ${what}`, async (t) => {
      const url = await serve(t, (_, response) => {
        response.writeHead(status, { location: 'http://127.0.0.1:9/' }).end(body)
      })
      t.same(await askForModels({ url, key: 'k' }, SIGNAL), { name })
    })
  }

  t.test('knows that nothing listens', async (t) => {
    t.same(await askForModels({ url: 'http://127.0.0.1:9', key: 'k' }, SIGNAL), { name: 'silent' })
  })

  t.test('ends with Ctrl-C', async (t) => {
    const url = await serve(t, () => {})
    await t.rejects(askForModels({ url, key: 'k' }, AbortSignal.abort(new Error('interrupted'))), {
      message: 'interrupted'
    })
  })
})

t.test('ensureModel()', async (t) => {
  t.test('says what the gateway says', async (t) => {
    const url = await serve(t, (request, response) => {
      if (request.url === '/v1/models/known') response.end('{"id":"known"}')
      else response.writeHead(404).end('{"error":{"message":"There is none."}}')
    })
    await ensureModel({ url, key: 'k' }, 'known', SIGNAL)
    await t.rejects(ensureModel({ url, key: 'k' }, 'other', SIGNAL), {
      code: 'GW_MODEL_UNKNOWN',
      message: 'There is none.'
    })
  })
})

t.test('modelFor()', async (t) => {
  const facts = { url: '', key: '', models: FallbackModels, wishedModel: null }
  t.equal(modelFor(facts, undefined).id, 'claude-sonnet-5.5', 'the newest Sonnet')
  t.equal(modelFor(facts, 'gpt-5').id, 'claude-sonnet-5.5', 'a model that is not here')
  t.equal(
    modelFor(facts, 'claude-opus-5-5').id,
    'claude-opus-5.5',
    "the client's own, as the list spells it"
  )
  t.equal(
    modelFor({ ...facts, wishedModel: 'claude-haiku-4.5' }, 'claude-opus-5.5').id,
    'claude-haiku-4.5'
  )
  t.equal(modelFor({ ...facts, wishedModel: 'mine' }, null).id, 'mine')
  t.equal(modelFor({ ...facts, models: FallbackModels.slice(0, 1) }, null).id, 'auto')
  t.equal(findModel(FallbackModels, 'none'), undefined)
})
