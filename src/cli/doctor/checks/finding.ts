import type { FailureCode } from '../../../shared/failures.ts'

/** `warning`: works, with a risk; `problem`: does not work, or not safely. */
export type Level = 'ok' | 'warning' | 'problem'

/** Sentences for people, without secrets. */
export interface DoctorFinding {
  readonly id: FindingId
  readonly level: Level
  readonly what: string
  readonly why: string | null
  readonly change: string | null
  /** Code of `/readyz`, if this is why there are no answers. */
  readonly code?: FailureCode
}

type Changes = Partial<Pick<DoctorFinding, 'level' | 'why' | 'change' | 'code'>>

export function found(id: FindingId, what: string, changes: Changes = {}): DoctorFinding {
  const { level, why, change }: FindingKind = FindingTable[id]
  const code = CODES[id]
  const own = code === undefined ? {} : { code }
  return { id, level, what, why: why ?? null, change: change ?? null, ...own, ...changes }
}

export function worstOf(findings: readonly Pick<DoctorFinding, 'level'>[]): Level {
  const levels = findings.map(({ level }) => level)
  return (['problem', 'warning'] as const).find((level) => levels.includes(level)) ?? 'ok'
}

interface FindingKind {
  readonly level: Level
  readonly why?: string
  readonly change?: string
}

const OK: FindingKind = { level: 'ok' }

function warning(why: string, change: string): FindingKind {
  return { level: 'warning', why, change }
}

function problem(why: string, change: string): FindingKind {
  return { level: 'problem', why, change }
}

const NO_ANSWERS = 'The gateway cannot answer requests without this host.'

export const FindingTable = {
  'check-late': problem(
    'The check hangs on something: a disk, a name server or a host.',
    'Run doctor again. If it happens again, examine the subject of the check.'
  ),
  'check-failed': problem(
    'This is a fault of doctor itself, or of this machine.',
    'Report it with the complete output of doctor.'
  ),

  'node-known': OK,
  'node-untried': warning(
    'The gateway is not tested with this version of Node.',
    'If you see problems, use the version that "npm ci" installs.'
  ),
  'tls-unchecked': problem(
    'Anyone on the network path can read your tokens and impersonate the upstream.',
    'Remove NODE_TLS_REJECT_UNAUTHORIZED. Behind a proxy that inspects TLS, set NODE_EXTRA_CA_CERTS to its CA.'
  ),
  'ca-file-unreadable': problem(
    'Node ignores these certificates, so hosts behind a proxy that inspects TLS are not trusted.',
    'Set NODE_EXTRA_CA_CERTS to a PEM file that this user can read.'
  ),

  'settings-valid': OK,
  'settings-invalid': problem(
    'The gateway cannot start with these settings.',
    'Correct it in .env or in the environment; docs/settings.md has every setting.'
  ),
  'settings-odd': warning(
    'The gateway starts, but does not use the configured value.',
    'Correct it in .env or in the environment; docs/settings.md has every setting.'
  ),
  'settings-unknown': warning(
    'The gateway does not know these names, so they have no effect.',
    'Correct the spelling, or remove them if no other program reads the file.'
  ),
  'settings-too-late': warning(
    'Node reads these names at start-up, before .env is read. In .env they have no effect.',
    'Set them in the environment of the shell, service or container.'
  ),

  'env-file-private': OK,
  'env-file-open': warning(
    'It holds secrets that every user of this machine can read.',
    'Run chmod 600 on the file.'
  ),
  'env-file-writable': problem(
    'Anyone who can write it can redirect your tokens to another host.',
    'Run chmod 600 on the file, and make the user who runs the gateway its owner.'
  ),

  'state-private': OK,
  'state-absent': OK,
  'state-unwritable': problem(
    'Renewed tokens cannot be stored: after a restart the sign-in may be lost.',
    'Set STATE_DIR to a folder that this user can write to. In a container, mount a volume there.'
  ),
  'state-link': problem(
    'Another user can decide where the state is stored.',
    'Remove the link, or make the user who runs the gateway its owner.'
  ),
  'state-foreign': problem(
    'Another user can read and replace the stored tokens.',
    'Make the user who runs the gateway its owner (chown), or use another STATE_DIR.'
  ),
  'state-open': warning(
    'Other users of this machine can read the tokens stored there.',
    'Run chmod 700 on the folder and chmod 600 on its files.'
  ),
  'disk-durable': OK,
  'disk-full': problem(
    'Renewed tokens cannot be stored: after a restart the sign-in may be lost.',
    'Free disk space, or move STATE_DIR.'
  ),
  'disk-low': warning(
    'Stored answers of the Responses API may fill the disk, and then renewed tokens cannot be stored.',
    'Free disk space, move STATE_DIR, or lower RESPONSE_STORE_MAX_BYTES.'
  ),
  'disk-slow': warning(
    'Each renewal of the sign-in waits for this disk.',
    'Move STATE_DIR to a local disk.'
  ),
  'debug-unwritable': warning(
    'DEBUG_MODE is on, but its files cannot be written.',
    'Set DEBUG_DIR to a folder that this user can write to.'
  ),

  'memory-planned': OK,
  'memory-too-small': problem(
    'The gateway does not start: its processes and threads do not fit into memory.',
    'Give the container 512 MB. The minimum is 224 MB.'
  ),
  'memory-tight': warning(
    'Fewer workers or threads than configured are started, so large requests wait for each other.',
    'Give the container more memory (512 MB for two workers), or lower WORKERS and TRANSFORM_THREADS.'
  ),
  'memory-beyond': problem(
    'The gateway plans with more memory than it has, and may be killed under load.',
    "Lower MEMORY_LIMIT to the container's limit, or remove it."
  ),
  'cpus-enough': OK,
  'cpus-few': warning(
    'Workers compete for CPU, and streams stutter under load.',
    'Give the container one CPU per worker, or lower WORKERS.'
  ),
  'files-enough': OK,
  'files-few': warning(
    'Each connection is an open file: further clients are refused.',
    'Raise the limit: "ulimit -n 65536", LimitNOFILE= of systemd, or ulimits of the container.'
  ),
  'files-too-few': problem(
    'The limit is too low even for the connections to the upstream (HTTP_MAX_CONNECTIONS).',
    'Raise the limit: "ulimit -n 65536", LimitNOFILE= of systemd, or ulimits of the container.'
  ),

  'port-free': OK,
  'port-ours': OK,
  'port-taken': problem(
    'The gateway cannot listen there.',
    'Stop the other program, or set SERVER_PORT to another port.'
  ),
  'port-forbidden': problem(
    'Ports below 1024 are reserved for privileged users.',
    'Set SERVER_PORT to 1024 or higher.'
  ),
  'address-unusable': problem(
    'The gateway cannot listen there.',
    'Set SERVER_HOST to an address of this machine: 127.0.0.1, or 0.0.0.0 for all.'
  ),
  'gateway-other-version': warning(
    'Changes made here do not affect the running gateway.',
    'Stop it and start this version, or use its own doctor.'
  ),
  'gateway-not-ready': problem(
    'The running gateway refuses requests.',
    'Follow the message, which is also at /readyz.'
  ),
  'gateway-failing': warning(
    'At least three requests in a row failed, by no fault of a client.',
    'Follow the reason. The panel shows each request, and docs/errors.md what its code means.'
  ),
  'gateway-unwell': warning(
    'It serves, but its panel finds something wrong.',
    'Open the panel, or ask GET /admin/v1/state: it says what and why.'
  ),
  'gateway-usage': problem(
    'The running gateway refuses keys with a credit limit.',
    'Free disk space for STATE_DIR, or follow the message.'
  ),

  'proxy-used': OK,
  'proxy-ignored': warning(
    'Other programs use this proxy, but the gateway does not.',
    'Set HTTPS_PROXY or VPN_PROXY_URL if the proxy is needed.'
  ),
  'proxy-unreachable': problem(
    'Every call to the upstream goes through it.',
    'Check that the proxy is running, and its address in the setting.'
  ),
  'proxy-credentials': problem(
    'Every call to the upstream goes through it, and it requires a valid user and password.',
    'Correct the user and password in the proxy setting. Percent-encode special characters.'
  ),
  'proxy-denied': problem(
    NO_ANSWERS,
    "Allow the host in the proxy's rules, or add it to NO_PROXY if it can be reached directly."
  ),
  'proxy-broken': problem(
    'Every call to the upstream goes through it.',
    'Check scheme and port of the proxy: http://, https:// or socks5://.'
  ),

  'host-reached': OK,
  'host-unknown': problem(
    NO_ANSWERS,
    'Check that this machine is online, its name servers, and the setting of the host.'
  ),
  'dns-silent': problem(
    NO_ANSWERS,
    'Check the name servers of this machine or container (/etc/resolv.conf, DNS_SERVERS) and the network to them.'
  ),
  'host-refused': problem(NO_ANSWERS, 'Nothing listens there. Check host and port in the setting.'),
  'host-unreachable': problem(NO_ANSWERS, 'Check the network, VPN and firewall of this machine.'),
  'host-silent': problem(
    'Packets to this host are lost: a firewall drops them, or the host is down.',
    'Allow connections to this port, or set VPN_PROXY_URL if there is a proxy.'
  ),
  'host-mute': problem(
    'It accepts connections but does not answer. A firewall or proxy in between may hold them.',
    'Check firewalls and proxies in between, or try VPN_PROXY_URL or another network.'
  ),
  'host-cut': problem(
    'The connection is closed before an answer arrives. A firewall, VPN or proxy in between may cut it.',
    'Allow the host there, or set VPN_PROXY_URL if there is a proxy.'
  ),
  'host-no-http': problem(
    'Something other than the upstream answers there.',
    'Check host, port and scheme in the setting.'
  ),
  'host-web-page': warning(
    'A CDN, firewall or proxy answers in place of the service, and may refuse other calls as well.',
    'See the check "models": if it passed, nothing needs to be done. Otherwise try another network or VPN_PROXY_URL.'
  ),
  'tls-expired': problem(
    "The connection is not trusted. If the certificate is valid elsewhere, this machine's clock is wrong.",
    'Check the clock. If it is right, the operator of that host, or of the proxy that inspects TLS, must renew the certificate.'
  ),
  'tls-early': problem(
    "The connection is not trusted: this machine's clock may be slow.",
    'Set the clock (NTP).'
  ),
  'tls-unknown-ca': problem(
    'The connection is not trusted: TLS is inspected in between, as company proxies and virus scanners do.',
    'If that is intended, set NODE_EXTRA_CA_CERTS to the CA of that proxy (a PEM file).'
  ),
  'tls-wrong-name': problem(
    'Another host answers there.',
    'Check the setting of the host, DNS_SERVERS and the hosts file.'
  ),
  'tls-failed': problem(
    'The TLS handshake failed: no common version or cipher.',
    'Check anything that inspects TLS in between: proxy, virus scanner, firewall.'
  ),
  'tls-absent': problem(
    'That port does not speak TLS.',
    'Use http:// in the setting of the host if that is intended, or another port.'
  ),

  'clock-right': OK,
  'clock-unknown': warning(
    'No host reported its time, so this clock could not be checked.',
    'First fix the connection to the hosts.'
  ),
  'clock-off': warning(
    'Tokens are renewed too late or too early.',
    'Set the clock (NTP). A virtual machine may need this after it was suspended.'
  ),
  'clock-wrong': problem(
    'Expired tokens look valid or valid ones expired, and certificates are refused.',
    'Set the clock (NTP). A virtual machine may need this after it was suspended.'
  ),

  'credentials-none': warning(
    'Answers come from the built-in simulator, not from a model.',
    'Run "kiro-gateway login", or set one of the credential sources in docs/settings.md.'
  ),
  'credentials-awaited': warning(
    'The gateway cannot answer requests until you sign in.',
    'Start the gateway and open the link in its log (LOGIN_ON_START), or run "kiro-gateway login".'
  ),
  'credentials-of-clients': OK,
  'credentials-passed-over': OK,
  'credentials-unreadable': problem(
    'The gateway does not start without a readable sign-in.',
    'Correct the file or the setting, or remove it and run "kiro-gateway login".'
  ),
  'credentials-usable': OK,
  'credentials-file-open': warning(
    'It holds tokens that every user of this machine can read.',
    'Run chmod 600 on the file.'
  ),
  'credentials-read-only': OK,
  'credentials-expired': warning(
    'The gateway renews it at start-up. doctor does not, because a refresh token works only once.',
    'Start the gateway and run doctor again to check models and account.'
  ),
  'credentials-not-renewable': warning(
    'The gateway cannot answer requests once the token expires.',
    'Sign in again before that.'
  ),
  'credentials-dead': problem(
    'The gateway cannot answer requests until you sign in again.',
    'Sign in again.'
  ),

  'models-listed': OK,
  'models-not-asked': OK,
  'models-few': warning(
    'Some networks and regions are offered no Claude models.',
    'Try another network, or VPN_PROXY_URL.'
  ),
  'profile-missing': problem(
    "The upstream refuses every request of an organisation's account without a profile.",
    'Ask your administrator for a profile and set PROFILE_ARN, or ask for access to Kiro.'
  ),
  'models-refused': problem(
    'Requests of this account are refused as well.',
    'See docs/errors.md for remedies.'
  ),
  'models-blocked': problem(
    'A CDN, firewall or proxy refuses this machine; the call did not reach the service.',
    'Try another network or VPN_PROXY_URL. After very many calls, wait an hour.'
  ),
  'models-unavailable': warning(
    'The built-in model list is used for now; other calls may fail as well.',
    'Wait and run doctor again.'
  ),
  'account-good': OK,
  'account-unknown': warning(
    'The remaining quota is unknown. Requests are not affected.',
    'Wait and run doctor again.'
  ),
  'account-used-up': problem(
    'Requests are refused until the reset.',
    'Wait for the reset, or allow overage in the settings of the Kiro account.'
  ),
  'account-drift': warning(
    'The account is used elsewhere, or some answers were not metered.',
    'Use another account for the other programs. Credits they use appear in no key limit or report.'
  )
} as const satisfies Record<string, FindingKind>

export type FindingId = keyof typeof FindingTable

/** Findings that explain why there are no answers; others set the code themselves. */
const CODES: Readonly<Partial<Record<FindingId, FailureCode>>> = {
  'credentials-none': 'no-credentials',
  'credentials-awaited': 'no-credentials',
  'credentials-unreadable': 'credentials-unreadable',
  'credentials-dead': 'refresh-token-dead',
  'profile-missing': 'profile-missing',
  'account-used-up': 'quota-used-up',
  'host-unknown': 'region-unreachable',
  'dns-silent': 'region-unreachable',
  'host-refused': 'region-unreachable',
  'host-unreachable': 'region-unreachable',
  'host-silent': 'region-unreachable',
  'host-mute': 'region-unreachable',
  'host-cut': 'region-unreachable'
}
