import type { FailureCode } from '../../../shared/failures.ts'

/** `ok` needs nothing; a `warning` can be lived with; with a `problem` the gateway does not work, or not safely. */
export type Level = 'ok' | 'warning' | 'problem'

/** What a check has found. Sentences for people, without anything secret. */
export interface DoctorFinding {
  readonly id: FindingId
  readonly level: Level
  /** What it is. */
  readonly what: string
  /** Why it matters; `null` where all is well. */
  readonly why: string | null
  /** What to change; `null` where nothing is to be. */
  readonly change: string | null
  /** As `/readyz` says it, where this is why there are no answers. */
  readonly code?: FailureCode
}

/** What may differ from what the table says of a kind of finding. */
type Changes = Partial<Pick<DoctorFinding, 'level' | 'why' | 'change' | 'code'>>

/** A finding of a kind; `what` says what was found. */
export function found(id: FindingId, what: string, changes: Changes = {}): DoctorFinding {
  const { level, why, change }: FindingKind = FindingTable[id]
  const code = CODES[id]
  const own = code === undefined ? {} : { code }
  return { id, level, what, why: why ?? null, change: change ?? null, ...own, ...changes }
}

/** The most serious level of some findings. */
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

/** Every kind of finding. The table of docs/doctor.md is checked against this one. */
export const FindingTable = {
  'check-late': problem(
    'A check that does not end hangs on something: a disk, a name server or a host.',
    'Run doctor again; if it happens again, look at what the check is about.'
  ),
  'check-failed': problem(
    'This is a mistake of doctor itself, or of this machine.',
    'Report it with the whole output of doctor.'
  ),

  'node-known': OK,
  'node-untried': warning(
    'The gateway has not been tried with this version of Node.',
    'If something is odd, use the version that "npm ci" brings.'
  ),
  'tls-unchecked': problem(
    'Anyone on the way could read your tokens and answer in place of the upstream.',
    'Remove NODE_TLS_REJECT_UNAUTHORIZED; for a proxy that opens TLS set NODE_EXTRA_CA_CERTS to its CA.'
  ),
  'ca-file-unreadable': problem(
    'Node goes on without these certificates, and hosts behind a proxy that opens TLS are not trusted.',
    'Let NODE_EXTRA_CA_CERTS name a PEM file that this user can read.'
  ),

  'settings-valid': OK,
  'settings-invalid': problem(
    'The gateway does not start with this.',
    'Correct it in .env or in the environment; docs/settings.md has every setting.'
  ),
  'settings-odd': warning(
    'The gateway starts, but not with what was written.',
    'Correct it in .env or in the environment; docs/settings.md has every setting.'
  ),
  'settings-unknown': warning(
    'The gateway does not know these names: what they say has no effect.',
    'Correct the spelling, or remove them where no other program reads the file.'
  ),
  'settings-too-late': warning(
    'Node reads these names when it starts, before .env is read: here they have no effect.',
    'Set them in the real environment: of the shell, the service or the container.'
  ),

  'env-file-private': OK,
  'env-file-open': warning(
    'It holds secrets, which every user of this machine can read.',
    'chmod 600 the file.'
  ),
  'env-file-writable': problem(
    'Whoever can write it decides where your tokens are sent.',
    'chmod 600 the file, and let it belong to the user who runs the gateway.'
  ),

  'state-private': OK,
  'state-absent': OK,
  'state-unwritable': problem(
    'Renewed tokens could not be kept: after a restart the sign-in may be lost.',
    'Let STATE_DIR name a folder that this user can write to; in a container, mount a volume there.'
  ),
  'state-link': problem(
    'What is kept there lands where another user wants it.',
    'Remove the link, or let it belong to the user who runs the gateway.'
  ),
  'state-foreign': problem(
    'Another user can read and replace the tokens that are kept there.',
    'chown it to the user who runs the gateway, or use another STATE_DIR.'
  ),
  'state-open': warning(
    'Other users of this machine can read tokens there.',
    'chmod 700 the folder and 600 its files.'
  ),
  'disk-durable': OK,
  'disk-full': problem(
    'Renewed tokens could not be kept: after a restart the sign-in may be lost.',
    'Make room, or move STATE_DIR.'
  ),
  'disk-low': warning(
    'Answers that the Responses API keeps may fill it, and renewed tokens then find no room.',
    'Make room, move STATE_DIR, or lower RESPONSE_STORE_MAX_BYTES.'
  ),
  'disk-slow': warning(
    'Each renewal of the sign-in waits for this disk.',
    'Move STATE_DIR to a local disk.'
  ),
  'debug-unwritable': warning(
    'DEBUG_MODE is on, and its files cannot be written.',
    'Let DEBUG_DIR name a folder that this user can write to.'
  ),

  'memory-planned': OK,
  'memory-too-small': problem(
    'The gateway does not start: processes and threads do not fit.',
    'Give the container 512 MB; 224 MB are the least.'
  ),
  'memory-tight': warning(
    'Fewer workers or threads are started than were asked for: large requests wait for each other.',
    'Give the container more memory (512 MB for two workers), or lower WORKERS and TRANSFORM_THREADS.'
  ),
  'memory-beyond': problem(
    'The gateway would plan with memory that it is not given, and be killed under load.',
    'Lower MEMORY_LIMIT to the limit of the container, or leave it out.'
  ),
  'cpus-enough': OK,
  'cpus-few': warning(
    'Workers wait for each other, and streams stutter under load.',
    'Give the container as many CPUs as there are workers, or lower WORKERS.'
  ),
  'files-enough': OK,
  'files-few': warning(
    'Each connection is an open file: clients beyond these are refused.',
    'Raise the limit: "ulimit -n 65536", LimitNOFILE= of systemd, or ulimits of the container.'
  ),
  'files-too-few': problem(
    'Not even the connections to the upstream have room (HTTP_MAX_CONNECTIONS).',
    'Raise the limit: "ulimit -n 65536", LimitNOFILE= of systemd, or ulimits of the container.'
  ),

  'port-free': OK,
  'port-ours': OK,
  'port-taken': problem(
    'The gateway cannot listen there.',
    'End the other program, or set SERVER_PORT to another port.'
  ),
  'port-forbidden': problem(
    'Ports below 1024 are for privileged users.',
    'Set SERVER_PORT to a port from 1024 on.'
  ),
  'address-unusable': problem(
    'The gateway cannot listen there.',
    'Set SERVER_HOST to an address of this machine: 127.0.0.1, or 0.0.0.0 for all.'
  ),
  'gateway-other-version': warning(
    'What you change here has no effect on the gateway that runs there.',
    'End it and start this one, or use its own doctor.'
  ),
  'gateway-not-ready': problem(
    'The gateway that runs there refuses requests.',
    'Do what the message says; /readyz has it, too.'
  ),
  'gateway-usage': problem(
    'The gateway that runs there refuses keys that have a limit of credits.',
    'Make room on the disk of STATE_DIR, or do what the message says.'
  ),

  'proxy-used': OK,
  'proxy-ignored': warning(
    'Other programs would call the upstream through this proxy, the gateway does not.',
    'Set HTTPS_PROXY or VPN_PROXY_URL if the proxy is needed.'
  ),
  'proxy-unreachable': problem(
    'Every call to the upstream goes through it.',
    'Check that the proxy runs, and its address in the setting that names it.'
  ),
  'proxy-credentials': problem(
    'Every call to the upstream goes through it, and it lets nobody through without them.',
    'Correct user and password in the setting that names the proxy, with special characters percent-encoded.'
  ),
  'proxy-denied': problem(
    NO_ANSWERS,
    'Allow the host in the rules of the proxy, or name it in NO_PROXY if there is a way without.'
  ),
  'proxy-broken': problem(
    'Every call to the upstream goes through it.',
    'Check scheme and port of the proxy: http://, https:// or socks5://.'
  ),

  'host-reached': OK,
  'host-unknown': problem(
    NO_ANSWERS,
    'Check whether this machine is online, its name servers, and the setting that names the host.'
  ),
  'dns-silent': problem(
    NO_ANSWERS,
    'Check the name servers of this machine or container (/etc/resolv.conf, DNS_SERVERS) and the way to them.'
  ),
  'host-refused': problem(
    NO_ANSWERS,
    'Nothing listens there: check host and port in the setting that names it.'
  ),
  'host-unreachable': problem(NO_ANSWERS, 'Check the network, VPN and firewall of this machine.'),
  'host-silent': problem(
    'Packets to this host vanish: a firewall drops them, or it is down.',
    'Allow connections to it on this port, or set VPN_PROXY_URL if there is a proxy.'
  ),
  'host-mute': problem(
    'It takes connections and does not answer: a firewall or proxy on the way holds them.',
    'Check what stands between; try VPN_PROXY_URL or another network.'
  ),
  'host-cut': problem(
    'The connection is closed before an answer: a firewall, VPN or proxy on the way cuts it.',
    'Allow the host there, or set VPN_PROXY_URL if there is a proxy.'
  ),
  'host-no-http': problem(
    'Something else than the upstream answers there.',
    'Check host, port and scheme in the setting that names it.'
  ),
  'host-web-page': warning(
    'A CDN, firewall or proxy answers in place of the service, and may refuse other calls, too.',
    'Look at "models": if that is well, nothing needs to be done. Else try another network or VPN_PROXY_URL.'
  ),
  'tls-expired': problem(
    'The connection is not trusted. If the certificate is good elsewhere, the clock of this machine is wrong.',
    'Check the clock; else whoever runs that host, or the proxy that opens TLS, has to renew it.'
  ),
  'tls-early': problem(
    'The connection is not trusted: the clock of this machine may be behind.',
    'Set the clock (NTP).'
  ),
  'tls-unknown-ca': problem(
    'The connection is not trusted: somebody opens TLS on the way, as company proxies and virus scanners do.',
    'If that is intended, set NODE_EXTRA_CA_CERTS to the CA of that proxy (a PEM file).'
  ),
  'tls-wrong-name': problem(
    'Another host answers there.',
    'Check the setting that names the host, DNS_SERVERS and the hosts file.'
  ),
  'tls-failed': problem(
    'There is no agreement on encryption.',
    'Check what opens TLS on the way: proxy, virus scanner, firewall.'
  ),
  'tls-absent': problem(
    'That port does not speak TLS.',
    'Use http:// in the setting that names the host if that is intended, else another port.'
  ),

  'clock-right': OK,
  'clock-unknown': warning(
    'No host has told its time, so it is not known whether this clock is right.',
    'Mend the way to the hosts first.'
  ),
  'clock-off': warning(
    'Tokens are renewed too late or too early.',
    'Set the clock (NTP); in a virtual machine, after it was suspended.'
  ),
  'clock-wrong': problem(
    'Tokens that have expired are taken for good, or the other way round, and certificates are refused.',
    'Set the clock (NTP); in a virtual machine, after it was suspended.'
  ),

  'credentials-none': warning(
    'Answers come from the built-in simulator, not from a model.',
    'Run "kiro-gateway login", or set one of the sources of docs/settings.md.'
  ),
  'credentials-awaited': warning(
    'The gateway cannot answer requests until you sign in.',
    'Start the gateway and follow the link in its log (LOGIN_ON_START), or run "kiro-gateway login".'
  ),
  'credentials-of-clients': OK,
  'credentials-passed-over': OK,
  'credentials-unreadable': problem(
    'The gateway does not start without a sign-in that it can read.',
    'Correct the file or the setting, or remove it and run "kiro-gateway login".'
  ),
  'credentials-usable': OK,
  'credentials-file-open': warning(
    'It holds tokens, which every user of this machine can read.',
    'chmod 600 the file.'
  ),
  'credentials-read-only': OK,
  'credentials-expired': warning(
    'The gateway renews it when it starts; doctor does not, since a refresh token works only once.',
    'Start the gateway and run doctor again, so that models and account are checked, too.'
  ),
  'credentials-not-renewable': warning(
    'Once the token expires, the gateway cannot answer requests.',
    'Sign in again before that.'
  ),
  'credentials-dead': problem(
    'The gateway cannot answer requests until you sign in again.',
    'Sign in again.'
  ),

  'models-listed': OK,
  'models-not-asked': OK,
  'models-few': warning(
    'A list without models of Claude is what some networks and regions are given.',
    'Try another network, or VPN_PROXY_URL.'
  ),
  'profile-missing': problem(
    "Without a profile the upstream refuses every request of an organisation's account.",
    'Set PROFILE_ARN to one that your administrator names, or ask for access to Kiro.'
  ),
  'models-refused': problem(
    'The account gets no answers either.',
    'docs/errors.md says what helps.'
  ),
  'models-blocked': problem(
    'A CDN, firewall or proxy refuses this machine; the service has not seen the call.',
    'Try another network or VPN_PROXY_URL; wait an hour if there were very many calls.'
  ),
  'models-unavailable': warning(
    'The built-in list is used meanwhile; other calls may fail as well.',
    'Wait and run doctor again.'
  ),
  'account-good': OK,
  'account-unknown': warning(
    'It is not known what is left of the quota. Answers do not depend on it.',
    'Wait and run doctor again.'
  ),
  'account-used-up': problem(
    'Requests are refused until the reset.',
    'Wait for the reset, or allow overage in the settings of the Kiro account.'
  ),
  'account-drift': warning(
    'The account is used elsewhere, or answers were not metered.',
    'Sign the other programs in with another account, or share its credits with them knowingly: keys and reports know nothing of them.'
  )
} as const satisfies Record<string, FindingKind>

export type FindingId = keyof typeof FindingTable

/** Findings that are why there are no answers; others say themselves which. */
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
