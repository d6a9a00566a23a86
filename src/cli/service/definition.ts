import { EXIT_CONFIG } from '../../shared/exit-codes.ts'
import { EXIT_USAGE } from '../command.ts'
import { asJsonObject, parseJsonObject } from '../../shared/json.ts'
import type { ServiceFacts } from './init-system.ts'

/*
 * A definition is the text of a systemd unit or of a launchd property list. Its facts are repeated in a comment, from which other
 * commands read them again.
 */

const MARK = 'kiro-gateway service: '

/** Comment text without `--`, which would end an XML comment. */
export function factsComment(facts: ServiceFacts): string {
  return MARK + JSON.stringify(facts).replaceAll('--', '-\\u002d')
}

/** `null` for a definition that was not made by this program. */
export function readFacts(definition: string): ServiceFacts | null {
  const line = definition.split('\n').find((one) => one.includes(MARK))
  const [json = ''] = /\{.*\}/.exec(line?.slice(line.indexOf(MARK)) ?? '') ?? []
  const found = asJsonObject(parseJsonObject(json))
  if (found === null) return null
  const { node, entry, folder, envFile, lingers } = found
  if (typeof node !== 'string' || typeof entry !== 'string' || typeof folder !== 'string')
    return null
  const file = typeof envFile === 'string' ? envFile : null
  return { node, entry, folder, envFile: file, lingers: lingers === true }
}

/** Longer than DRAIN_TIMEOUT: streams end first. */
const STOP_SECONDS = 45
/** Settings or the sign-in cannot be used, which another start does not change. */
export const FINAL_EXITS: ReadonlySet<number> = new Set([EXIT_USAGE, EXIT_CONFIG])

/** Runs as a user with a folder of its own and nothing else. V8 writes code while it runs: MemoryDenyWriteExecute=yes would end it. */
const SYSTEM_LIMITS = `# The gateway plans for the memory that it finds here.
MemoryMax=512M
LimitNOFILE=16384
TasksMax=256

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateIPC=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM`

/** Limits that need no rights. It reads and writes files of its user, as the command does. */
const USER_LIMITS = `NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native`

/** Account of a system service. */
export const ACCOUNT = 'kiro-gateway'

/** Places of a system service; its user has no home. */
export const SYSTEM_PLACES = {
  settings: `/etc/${ACCOUNT}/.env`,
  state: `/var/lib/${ACCOUNT}`,
  cache: `/var/cache/${ACCOUNT}`
} as const

export function systemdUnit(facts: ServiceFacts, isSystem: boolean): string {
  const { node, entry, folder, envFile } = facts
  const { state, cache } = SYSTEM_PLACES
  const environment = [
    'NODE_ENV=production',
    ...(envFile === null ? [] : [`ENV_FILE=${envFile}`]),
    ...(isSystem ? [`STATE_DIR=${state}`, `NODE_COMPILE_CACHE=${cache}`] : [])
  ]
  const account = isSystem
    ? [
        `User=${ACCOUNT}`,
        `Group=${ACCOUNT}`,
        `StateDirectory=${ACCOUNT}`,
        'StateDirectoryMode=0700',
        `CacheDirectory=${ACCOUNT}`,
        'CacheDirectoryMode=0700'
      ]
    : []
  return `# ${factsComment(facts)}
[Unit]
Description=kiro-gateway: the models of a Kiro subscription behind OpenAI and Anthropic APIs
Documentation=https://github.com/kiro-gateway/kiro-gateway#readme
${isSystem ? 'Wants=network-online.target\nAfter=network-online.target\n' : ''}# After ten starts in five minutes it stays stopped.
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=exec
${account.map((line) => `${line}\n`).join('')}ExecStart=${quoted(node)} ${quoted(entry.replaceAll('$', '$$$$'))}
ExecReload=kill -HUP $MAINPID
WorkingDirectory=${specified(folder)}
${environment.map((pair) => `Environment=${quoted(pair)}`).join('\n')}
UMask=0077

# Streams end first: longer than DRAIN_TIMEOUT. The first process ends its workers itself.
KillMode=mixed
TimeoutStopSec=${STOP_SECONDS}
Restart=on-failure
RestartSec=2
# Settings or the sign-in cannot be used, which another start does not change.
RestartPreventExitStatus=${[...FINAL_EXITS].join(' ')}

${isSystem ? SYSTEM_LIMITS : USER_LIMITS}

[Install]
WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}
`
}

/** A word of a unit, in quotes where it needs them. In arguments of commands, `$` is doubled before. */
function quoted(word: string): string {
  const text = specified(word)
  return /[\s"'\\;]/.test(word) ? `"${text.replaceAll(/["\\]/g, '\\$&')}"` : text
}

function specified(text: string): string {
  return text.replaceAll('%', '%%')
}

/** Property list of launchd: what it starts keeps the log, and ends with 0 where another start would change nothing. */
export function launchAgent(facts: ServiceFacts, label: string): string {
  const { node, entry, folder, envFile } = facts
  const environment = {
    NODE_ENV: 'production',
    ...(envFile !== null && { ENV_FILE: envFile })
  }
  const pairs = Object.entries(environment).map(
    ([name, value]) => `    <key>${name}</key>\n    <string>${xmlText(value)}</string>\n`
  )
  const words = [node, entry, 'service', 'run']
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ${factsComment(facts)} -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${label}</string>
  <key>ProgramArguments</key>
  <array>
${words.map((word) => `    <string>${xmlText(word)}</string>\n`).join('')}  </array>
  <key>WorkingDirectory</key>
  <string>${xmlText(folder)}</string>
  <key>EnvironmentVariables</key>
  <dict>
${pairs.join('')}  </dict>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>${STOP_SECONDS}</integer>
  <key>ProcessType</key>
  <string>Interactive</string>
  <key>Umask</key>
  <integer>63</integer>
</dict>
</plist>
`
}

function xmlText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
