import { inspectConfig } from '../config/load.ts'
import type { Config } from '../config/settings.ts'
import { toSnapshot } from '../credentials/sign-in.ts'
import type { CredentialSource, StoredCredential } from '../credentials/stored-credential.ts'
import { lookForSource } from '../credentials/usual-places.ts'
import { OverlayStore, reconcile } from '../credentials/vault.ts'
import type { AuthType } from '../kiro/wire/credential-snapshot.ts'
import { type Command, EXIT_FAILED, EXIT_OK, type Terminal, UsageError } from './command.ts'
import { toIso } from '../shared/dates.ts'

const KINDS = {
  social: 'Google or GitHub',
  'builder-id': 'AWS Builder ID',
  idc: 'an organisation (IAM Identity Center)',
  'external-idp': 'the identity provider of an organisation',
  'api-key': 'a Kiro API key'
} as const satisfies Record<AuthType, string>

export const whoami: Command = {
  name: 'whoami',
  summary: 'Shows the sign-in in use, its source and expiry.',
  usage: 'kiro-gateway whoami',
  options: {},
  help: `Shows the sign-in of a gateway started in this folder: its kind, its source, when its token
expires, its regions and profile (--json has the full profile). It changes nothing and calls no host; "kiro-gateway doctor" does.`,
  exitCodes: [
    { code: EXIT_OK, meaning: 'there is a usable sign-in' },
    { code: EXIT_FAILED, meaning: 'there is no usable sign-in' }
  ],
  async run({ env, terminal, isJson, positionals }) {
    if (positionals.length > 0) throw new UsageError('whoami takes no arguments')
    const { config } = inspectConfig(env)
    const { source, places } = await lookForSource(config.credentials, { log: logTo(terminal) })
    const passedOver = places.filter(({ problem }) => problem !== null)
    const found = source === null ? null : await describe(source, config, terminal)
    if (isJson) terminal.write(JSON.stringify({ signIn: found, passedOver }))
    else {
      for (const line of found === null ? SIGNED_OUT : linesOf(found)) terminal.write(line)
      for (const { place, problem } of passedOver) terminal.note(`Not used: ${place}: ${problem}`)
    }
    return found?.isUsable === true ? EXIT_OK : EXIT_FAILED
  }
}

const SIGNED_OUT = ['Not signed in.', 'Sign in with: kiro-gateway login']

interface Found {
  readonly kind: AuthType
  readonly source: string
  /** ISO 8601; `null` if it never expires, or that is unknown. */
  readonly expiresAt: string | null
  readonly renewalProblem: string | null
  readonly ssoRegion: string
  readonly apiRegion: string
  /** `null` if there is none, or the gateway finds it. */
  readonly profileArn: string | null
  readonly isUsable: boolean
  readonly fleet?: { readonly name: string; readonly renewedBy: string | null }
}

async function describe(
  source: CredentialSource,
  config: Config,
  terminal: Terminal
): Promise<Found> {
  const { credentials } = config
  const { stateDir } = credentials
  const overlay = await new OverlayStore(stateDir, source.id, logTo(terminal)).load()
  const stored = reconcile(await source.read(), [overlay])
  // Only regions and profile are used, so a missing token does not matter.
  const { apiRegion, profileArn } = toSnapshot(
    source.id,
    { ...stored, accessToken: '' },
    credentials
  )
  const { authType: kind, ssoRegion, expiresAt } = stored
  return {
    kind,
    source: source.name,
    expiresAt: toIso(expiresAt),
    renewalProblem: renewalProblemOf(stored),
    ssoRegion,
    apiRegion,
    profileArn,
    isUsable: isUsable(stored),
    ...(config.fleet.url !== null && kind !== 'api-key' && (await sharing(source, config)))
  }
}

async function sharing(source: CredentialSource, { credentials, fleet }: Config) {
  const { recordNameOf } = await import('../control/fleet/fleet-sign-in.ts')
  const { SignInOverlay } = await import('../control/fleet/shared-tokens.ts')
  const kept = await new SignInOverlay(credentials.stateDir, recordNameOf(source)).load()
  const holder = kept?.facts.holder ?? ''
  return { fleet: { name: fleet.name, renewedBy: holder === '' ? null : holder } }
}

function renewalProblemOf({ renewalProblem, refreshToken }: StoredCredential): string | null {
  return renewalProblem ?? (refreshToken === null ? 'there is no refresh token' : null)
}

function isUsable(stored: StoredCredential): boolean {
  const { accessToken, expiresAt } = stored
  const isValid = accessToken !== null && (expiresAt ?? Infinity) > Date.now()
  return isValid || renewalProblemOf(stored) === null
}

function linesOf(found: Found): readonly string[] {
  const { kind, source, expiresAt, renewalProblem, ssoRegion, apiRegion, profileArn } = found
  const isKey = kind === 'api-key'
  const expiry = isKey ? 'does not expire' : expiryText(expiresAt)
  const renewal =
    renewalProblem === null ? 'the gateway renews it' : `not renewed: ${renewalProblem}`
  const rows = [
    ['signed in with', KINDS[kind]],
    ['from', source],
    ['token', isKey ? expiry : `${expiry}; ${renewal}`],
    ['region', isKey ? apiRegion : `${apiRegion} (sign-in: ${ssoRegion})`],
    ['profile', shortened(profileArn) ?? 'none, or found when the gateway starts'],
    ...(found.fleet === undefined
      ? []
      : [['shared with', `the fleet ${found.fleet.name}; ${renewedText(found.fleet.renewedBy)}`]])
  ] as const
  return rows.map(([name = '', value = '']) => `${name.padEnd(16)}${value}`)
}

/** People paste what they see: the AWS account number is in --json only. */
function shortened(profileArn: string | null): string | undefined {
  return profileArn?.replace(/:\d{12}:/, ':…:')
}

function renewedText(by: string | null): string {
  return by === null ? 'not renewed yet' : `last renewed by ${by}`
}

function expiryText(expiresAt: string | null): string {
  if (expiresAt === null) return 'expiry unknown'
  const minutes = Math.round((Date.parse(expiresAt) - Date.now()) / 60_000)
  return minutes > 0
    ? `valid until ${expiresAt}, in ${minutes} minutes`
    : `has expired (${expiresAt})`
}

function logTo(terminal: Terminal) {
  const tell = (facts: unknown, message?: string): void => {
    const text = typeof facts === 'string' ? facts : `${message ?? ''} ${JSON.stringify(facts)}`
    terminal.note(text.trim())
  }
  return { info: () => {}, warn: tell, error: tell }
}
