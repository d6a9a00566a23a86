import type { ErrorCode } from './errors.ts'

/** Stable codes for programs, used by `/readyz`, errors and `doctor`; source of docs/errors.md. */
export const FailureTable = {
  'no-credentials': 'The gateway is not signed in yet.',
  'refresh-token-dead': 'The sign-in can no longer be renewed. Sign in again.',
  'registration-expired': 'The client registration of the sign-in has expired. Sign in again.',
  'sign-in-host-not-allowed': "The sign-in names a token service that is not Kiro's.",
  'credentials-unreadable': 'The sign-in cannot be read.',
  'account-suspended': 'The upstream has suspended the account.',
  'account-restricted': 'The upstream suspects abuse and has limited the account.',
  'quota-used-up': 'The quota of the account is used up.',
  'client-not-admitted': "The account's seat does not admit this gateway.",
  'profile-missing': "No profile was found for the organisation's account.",
  'region-unreachable': "None of the region's hosts can be reached.",
  'shutting-down': 'The gateway is shutting down.',
  'primary-silent': 'The primary process hangs or was stopped.',
  'workers-dying': 'A worker repeatedly dies during start-up.',
  'fleet-unheard': 'The worker has no state of its fleet yet.',
  'fleet-lost': 'The gateway has no connections of its fleet to use.',
  'usage-book':
    'Used credits are unknown or cannot be recorded, so keys with a credit limit are refused.',
  'requests-failing':
    'The last requests failed by a fault of the upstream or the gateway. Others are still served.',
  'not-ready': 'Another problem, which may resolve by itself.'
} as const

export type FailureCode = keyof typeof FailureTable

export function isFailureCode(value: unknown): value is FailureCode {
  return typeof value === 'string' && Object.hasOwn(FailureTable, value)
}

const FAILURES: Readonly<Partial<Record<ErrorCode, FailureCode>>> = {
  GW_LOGIN_PENDING: 'no-credentials',
  GW_UPSTREAM_AUTH: 'refresh-token-dead',
  GW_REGISTRATION_EXPIRED: 'registration-expired',
  GW_IDP_NOT_ALLOWED: 'sign-in-host-not-allowed',
  GW_CONFIG_INVALID: 'credentials-unreadable',
  GW_UPSTREAM_SUSPENDED: 'account-suspended',
  GW_UPSTREAM_RESTRICTED: 'account-restricted',
  GW_UPSTREAM_QUOTA: 'quota-used-up',
  GW_PLAN_LIMIT: 'quota-used-up',
  GW_CLIENT_NOT_ADMITTED: 'client-not-admitted',
  GW_UPSTREAM_DNS: 'region-unreachable',
  GW_UPSTREAM_CONNECT: 'region-unreachable',
  GW_UPSTREAM_CONNECT_TIMEOUT: 'region-unreachable',
  GW_UPSTREAM_TLS: 'region-unreachable',
  GW_DRAINING: 'shutting-down',
  GW_PRIMARY_SILENT: 'primary-silent',
  GW_FLEET_LOST: 'fleet-lost'
}

export function failureOf(code: ErrorCode): FailureCode {
  return FAILURES[code] ?? 'not-ready'
}
