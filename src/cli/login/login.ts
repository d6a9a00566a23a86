import { sourcesOf } from '../../config/cross-checks.ts'
import { inspectConfig } from '../../config/load.ts'
import type { Config } from '../../config/settings.ts'
import {
  BUILDER_ID,
  loginByDeviceCode,
  readLoginRegion,
  readStartUrl
} from '../../credentials/login/device-login.ts'
import type { SignInServiceOptions } from '../../credentials/login/sign-in-service.ts'
import { CALLBACK_PORT } from '../../credentials/login/browser-login.ts'
import {
  type NewSignIn,
  prepareSignIn,
  saveSignIn,
  signInNotKept
} from '../../credentials/own-sign-in.ts'
import { WALL_CLOCK } from '../../credentials/renew.ts'
import { type Command, type CommandCall, EXIT_OK, textOption, UsageError } from '../command.ts'
import { Network } from '../network.ts'
import { noteOtherState } from '../service/other-state.ts'
import { type BrowserWay, loginByBrowser } from './browser.ts'
import { Countdown } from './countdown.ts'
import { offerBrowser } from './open-browser.ts'

export const login: Command = {
  name: 'login',
  summary: 'Signs in by Builder ID, organisation, Google or GitHub.',
  usage: `kiro-gateway login [--provider=builder-id]
kiro-gateway login --start-url=URL [--region=REGION]
kiro-gateway login --provider=google|github [--paste]
kiro-gateway login --gateway=URL`,
  options: {
    gateway: { type: 'string' },
    provider: { type: 'string' },
    'start-url': { type: 'string' },
    region: { type: 'string' },
    paste: { type: 'boolean' },
    'callback-port': { type: 'string' }
  },
  help: `Signs in and stores the sign-in in STATE_DIR, where running gateways and new ones find it.

Builder ID and organisations: prints a link and a code to confirm in any browser, on any machine.
Google and GitHub: prints a link; the browser then returns to this machine. If the browser runs on another machine,
paste the address at which it ends.

  --provider=NAME       builder-id (the default), google or github.
  --start-url=URL       Start URL of an organisation's IAM Identity Center: https://d-1234567890.awsapps.com/start.
  --region=REGION       Region of that Identity Center; by default KIRO_REGION.
  --paste               Asks for the address instead of listening for the browser.
  --gateway=URL         Signs this machine in at another kiro-gateway instead, whose operator approves a code. Clients here
                        use that gateway then: kiro-gateway setup claude, codex or pi.
  --callback-port=PORT  Port that the browser returns to. The sign-in page is known to accept only ${CALLBACK_PORT}.`,
  async run(call) {
    const way = readWay(call)
    if (way.name === 'gateway') {
      const { loginAtGateway } = await import('./gateway-login.ts')
      return loginAtGateway(call, way.url)
    }
    const { config } = inspectConfig(call.env)
    const { stateDir } = config.credentials
    await prepareSignIn(stateDir)
    await using network = new Network(config)
    const { terminal, signal, isJson } = call
    const service = { call: network.call, upstream: config.upstream, clock: WALL_CLOCK, signal }
    const signIn =
      way.name === 'device'
        ? await loginByCode(call, way, service)
        : await loginByBrowser(call, way, service)
    const path = await saveSignIn(stateDir, signIn).catch((cause: unknown) => {
      throw signInNotKept(stateDir, cause)
    })
    if (isJson) {
      const { provider, region, startUrl = null } = signIn
      const facts = { provider, region, startUrl }
      terminal.write(JSON.stringify({ event: 'signed-in', ...facts, path }))
    } else {
      terminal.write(`Signed in with ${nameOf(signIn)}. The sign-in is stored in ${path}.`)
      terminal.write('Next: "kiro-gateway setup claude" (or another client), then "kiro-gateway".')
    }
    for (const line of shadows(config)) terminal.note(line)
    noteOtherState(call, stateDir, 'login')
    return EXIT_OK
  }
}

type Way =
  | { readonly name: 'gateway'; readonly url: string }
  | { readonly name: 'device'; readonly startUrl: string; readonly region: string }
  | ({ readonly name: 'browser' } & BrowserWay)

/** @throws {UsageError} for options that exclude each other */
function readWay(call: CommandCall): Way {
  const provider = textOption(call, 'provider')?.toLowerCase() ?? null
  const [startUrl, region] = [textOption(call, 'start-url'), textOption(call, 'region')]
  if (call.positionals.length > 0) throw new UsageError('login takes only options')
  const gateway = textOption(call, 'gateway')
  if (gateway !== null) {
    if (Object.keys(call.values).some((name) => OWN_OPTIONS.has(name)))
      throw new UsageError('--gateway signs in at another gateway, so it takes no other option')
    return { name: 'gateway', url: gateway }
  }
  if (startUrl !== null && provider !== null) {
    throw new UsageError('--start-url is for organisations, --provider for all others')
  }
  if (startUrl === null && region !== null) {
    throw new UsageError('--region needs --start-url')
  }
  if (provider === 'google' || provider === 'github') {
    return {
      name: 'browser',
      provider,
      port: readPort(call),
      isPasted: call.values['paste'] === true
    }
  }
  if (provider !== null && provider !== 'builder-id') {
    throw new UsageError(`--provider is builder-id, google or github, not "${provider}"`)
  }
  if (call.values['paste'] === true || call.values['callback-port'] !== undefined) {
    throw new UsageError('--paste and --callback-port need --provider=google or github')
  }
  if (startUrl === null) return { name: 'device', ...BUILDER_ID }
  return {
    name: 'device',
    startUrl: readStartUrl(startUrl, '--start-url'),
    region: readLoginRegion(region ?? call.env['KIRO_REGION'] ?? BUILDER_ID.region, '--region')
  }
}

/** Options of sign-ins at Kiro. */
const OWN_OPTIONS: ReadonlySet<string> = new Set([
  'provider',
  'start-url',
  'region',
  'paste',
  'callback-port'
])

function readPort(call: CommandCall): number {
  const text = textOption(call, 'callback-port')
  if (text === null) return CALLBACK_PORT
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new UsageError('--callback-port is not a port')
  return port
}

async function loginByCode(
  call: CommandCall,
  { startUrl, region }: Extract<Way, { name: 'device' }>,
  service: SignInServiceOptions
): Promise<NewSignIn> {
  const { terminal, isJson } = call
  using countdown = new Countdown(terminal, 'Waiting for you to confirm the code')
  return await loginByDeviceCode({
    ...service,
    startUrl,
    region,
    onCode: ({ url, userCode, verificationUrl, expiresAt }) => {
      if (isJson) {
        const until = new Date(expiresAt).toISOString()
        const facts = { url, userCode, verificationUrl, expiresAt: until }
        terminal.write(JSON.stringify({ event: 'code', ...facts }))
      } else {
        terminal.write(
          `Open this link in any browser and confirm the code ${userCode}:\n\n  ${url}\n`
        )
        void offerBrowser(call, url) // cannot reject
      }
      countdown.start(expiresAt)
    },
    onProblem: (problem) => countdown.remark(problem === null ? '' : problem.message)
  })
}

function nameOf({ authMethod, provider, startUrl }: NewSignIn): string {
  if (authMethod === 'builder-id') return 'AWS Builder ID'
  if (authMethod === 'IdC') return `the organisation of ${startUrl}`
  return provider === 'Github' ? 'GitHub' : provider
}

/** Settings that take precedence over this sign-in. */
function shadows(config: Config): readonly string[] {
  const set = sourcesOf(config)
  if (set.length === 0) return []
  return [`${set.join(' and ')} is set and overrides this sign-in. Remove it to use the new one.`]
}
