import { NO_KNOWN_KEYS } from '../../src/keys/key.ts'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { describeApi } from '../../docs/generate/openapi/document.ts'
import { codesIn } from '../../docs/generate/openapi/errors.ts'
import { Operations } from '../../docs/generate/openapi/operations.ts'
import { DeviceOperations } from '../../docs/generate/openapi/devices.ts'
import { describeMembers } from '../../docs/generate/openapi/json-schema.ts'
import { loadConfig } from '../../src/config/load.ts'
import { AccessCheck } from '../../src/devices/access-check.ts'
import type { DataPlane } from '../../src/server/worker/data-plane.ts'
import { PassthroughKeys } from '../../src/server/http/passthrough-keys.ts'
import { routesOf } from '../../src/server/http/app.ts'
import { ErrorTable } from '../../src/shared/error-table.ts'
import { DescribedAnswers } from '../helper/described-answers.ts'
import { Authenticator } from '../../src/server/http/auth.ts'
import { oauthRoutes } from '../../src/server/http/oauth-routes.ts'
import { recordedLog } from '../helper/recorded-log.ts'

const api = describeApi()
const text = JSON.stringify(api)

t.test('the description is valid OpenAPI 3.1', async (t) => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(JSON.parse(text))
  t.equal(valid, true, JSON.stringify(errors))
  t.equal(validator.version, '3.1')
  const wrong = JSON.parse(text)
  delete wrong.info.title
  t.equal((await new Validator().validate(wrong)).valid, false, 'the validator looks at it')
})

t.test('every reference leads somewhere, and every schema is used', async (t) => {
  const referred = new Set(Array.from(text.matchAll(/"\$ref":"#\/([^"]+)"/g), ([, path]) => path))
  for (const path of referred) {
    const found = path
      ?.split('/')
      .reduce<unknown>((at, name) => (at as Record<string, unknown>)?.[name], api)
    t.ok(found, `${path}`)
  }
  for (const [kind, named] of Object.entries(api.components)) {
    if (kind === 'securitySchemes') continue
    for (const name of Object.keys(named)) t.ok(referred.has(`components/${kind}/${name}`), name)
  }
})

t.test('every route is described, and every described route is there', async (t) => {
  const plane: Partial<DataPlane> = {}
  const { log } = recordedLog()
  const loaded = loadConfig({}, [])
  if (loaded.name !== 'config') throw new Error('no config')
  const options = {
    plane: plane as DataPlane,
    log,
    current: {
      status: { workers: [], isCrashLooping: false, isEnding: false },
      authenticator: new Authenticator([]),
      devices: new AccessCheck(),
      config: loaded.config,
      knownKeys: NO_KNOWN_KEYS
    },
    primary: { isSilent: false, ask: () => Promise.reject(new Error('not asked')) }
  }
  const routes = routesOf(options, new PassthroughKeys(options.plane, log, () => {}))
  const served = routes
    .filter(({ path }) => !isDashboard(path))
    .map((route) => ({
      route: `${route.method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`,
      access: route.isOpen === true ? 'open' : route.isOperators === true ? 'operator' : 'key'
    }))
  const described = Operations.flatMap(({ method, path, aliases = [], access }) =>
    [path, ...aliases].map((one) => ({ route: `${method.toUpperCase()} ${one}`, access }))
  )
  t.same(described.toSorted(byRoute), served.toSorted(byRoute))
  t.ok(served.length > 15)
})

t.test('the sign-in of devices is described as it is served', async (t) => {
  const loaded = loadConfig({}, [])
  if (loaded.name !== 'config') throw new Error('no config')
  const { config } = loaded
  const current = { config, authenticator: new Authenticator([]), devices: new AccessCheck() }
  const primary = { ask: () => Promise.reject(new Error('not asked')) }
  const served = oauthRoutes({ primary, current })
  t.same(
    DeviceOperations.map(({ method, path }) => `${method.toUpperCase()} ${path}`),
    served.map(({ method, path }) => `${method} ${path}`)
  )
})

function byRoute(a: { route: string }, b: { route: string }): number {
  return a.route < b.route ? -1 : 1
}

/** For people; it is mentioned. */
function isDashboard(path: string): boolean {
  return path === '/' || path.startsWith('/dashboard')
}

t.test('every code that a client may read is described', async (t) => {
  const unread = codesIn(['nowhere', 'dashboard'])
  const elsewhere = codesIn(['no-route'])
  for (const code of Object.keys(ErrorTable)) {
    const isUnread = unread.some((one) => one === code)
    t.equal(text.includes(code), !isUnread, code)
  }
  t.same(elsewhere, ['GW_ROUTE_UNKNOWN', 'GW_METHOD_NOT_ALLOWED'])
  t.same(unread.filter((code) => ErrorTable[code].status !== 499).toSorted(), [
    'GW_CLIENT_FILE',
    'GW_CONFIG_INVALID',
    'GW_DASHBOARD_FULL',
    'GW_OTHER_SITE',
    'GW_SIGN_IN_OFTEN'
  ])
})

t.test('what is shown of requests and errors is as the schemas beside it say', async (t) => {
  const answers = new DescribedAnswers(api)
  let shown = 0
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, { requestBody, responses }] of Object.entries(methods)) {
      const at = ['paths', path, method]
      const examples = requestBody?.content['application/json']?.examples ?? {} // forms have none
      for (const [name, { value }] of Object.entries(examples)) {
        const place = [...at, 'requestBody', 'content', 'application/json', 'schema']
        // The one that lint is to refuse.
        const isRefused = path === '/v1/lint'
        t.equal(isRefused ? '' : answers.problemOf(value, place), '', `${path} ${name}`)
        shown++
      }
      for (const [status, { content }] of Object.entries(responses)) {
        for (const [type, { examples: said = {} }] of Object.entries(content)) {
          for (const [name, { value }] of Object.entries(said)) {
            const place = [...at, 'responses', status, 'content', type, 'schema']
            t.equal(answers.problemOf(value, place), '', `${path} ${status} ${name}`)
            shown++
          }
        }
      }
    }
  }
  t.ok(shown > 100, `${shown} examples`)
})

t.test('words for members that are not there, and members without words', async (t) => {
  const schema = { type: 'object', properties: { a: { type: 'string' } } }
  t.same(describeMembers(schema, { a: 'An a.' }), {
    type: 'object',
    properties: { a: { description: 'An a.', type: 'string' } }
  })
  t.throws(() => describeMembers(schema, {}), /nothing is said of a/)
  t.throws(() => describeMembers(schema, { a: 'An a.', b: 'A b.' }), /no members b/)
})

t.test('both files stay small enough to be kept', async (t) => {
  for (const name of ['openapi.json', 'openapi.html']) {
    const { size } = statSync(join(import.meta.dirname, '../../docs', name))
    t.ok(size < 600_000, `${size} bytes of ${name}`)
  }
})
