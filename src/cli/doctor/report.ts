import { homedir } from 'node:os'
import type { Environment } from '../../config/load.ts'
import { listSettings } from '../../config/setting-text.ts'
import { redactText } from '../../kiro/wire/fault.ts'
import { version } from '../../shared/version.ts'
import { countText } from '../terminal.ts'
import type { CheckResult } from './checks/checkup.ts'
import { type DoctorFinding, type Level, worstOf } from './checks/finding.ts'
import type { ProbeRun } from './probe/ask-probes.ts'
import type { ProbeCall } from './probe/probe.ts'

export interface Report {
  readonly version: string
  readonly node: string
  readonly platform: string
  readonly level: Level
  readonly findings: readonly (DoctorFinding & { readonly check: string })[]
}

const MAX_CHARS = 600

export function toReport(results: readonly CheckResult[], clean: (text: string) => string): Report {
  const findings = results.flatMap(({ check, findings: ofCheck }) =>
    ofCheck.map((one) => ({
      check: check.id,
      ...one,
      what: clean(one.what),
      change: one.change === null ? null : clean(one.change)
    }))
  )
  return {
    version,
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    level: worstOf(findings),
    findings
  }
}

/** Shorter secrets would mask parts of ordinary words. */
const MIN_SECRET_CHARS = 6
/** Personal data: addresses, user ids, and the account in an ARN. */
const PERSONAL = /[\w.+-]+@[\w-]+\.[\w.-]+|\bd-[0-9a-z]{8,}\b[\w.-]*|(?<=:)\d{12}(?=:)/gi

/** Makes text safe to publish: no secrets or personal data. The home folder, often a person's name, becomes `~`. */
export function cleaner(secrets: readonly string[]): (text: string) => string {
  const known = secrets
    .flatMap((secret) => [secret, encodeURIComponent(secret)])
    .filter((secret) => secret.length >= MIN_SECRET_CHARS)
    .toSorted((a, b) => b.length - a.length)
  const home = homedir()
  return (text) => {
    const own = home.length > 1 ? text.replaceAll(home, '~') : text
    return redactText(own, MAX_CHARS, known).replaceAll(PERSONAL, '[hidden]')
  }
}

const MARKS = { ok: 'ok     ', warning: 'warning', problem: 'PROBLEM' } as const satisfies Record<
  Level,
  string
>

export function reportLines({ findings, node, platform, ...report }: Report): readonly string[] {
  const lines = findings.flatMap(({ level, check, id, what, why, change }) => {
    const indent = ' '.repeat(10)
    return [
      `${MARKS[level]}  ${check}: ${what}${level === 'ok' ? '' : ` [${id}]`}`,
      ...(why === null ? [] : [`${indent}Why: ${why}`]),
      ...(change === null ? [] : [`${indent}Do:  ${change}`])
    ]
  })
  const count = (level: Level): number => findings.filter((one) => one.level === level).length
  return [
    `kiro-gateway ${report.version} on Node ${node}, ${platform}`,
    '',
    ...lines,
    '',
    `${countText(count('problem'), 'problem')}, ${countText(count('warning'), 'warning')}, ${count('ok')} ok. docs/doctor.md explains each finding.`
  ]
}

export function cleanRun(run: ProbeRun, clean: (text: string) => string): ProbeRun {
  const results = run.results.map((result) => ({
    ...result,
    calls: result.calls.map((call) => ({
      ...call,
      message: call.message === null ? null : clean(call.message)
    }))
  }))
  const { stopped } = run
  return {
    ...run,
    results,
    stopped: stopped === null ? null : { ...stopped, after: clean(stopped.after) }
  }
}

export function probeLines({ results, stopped, credits }: ProbeRun): readonly string[] {
  const indent = ' '.repeat(5)
  const lines = results.flatMap(({ id, question, answer, means, change, calls }) => [
    `${id.padEnd(4)} ${question} ${answer}`,
    `${indent}${means}`,
    ...(change === null ? [] : [`${indent}Do: ${change}`]),
    ...calls.map((call) => `${indent}- ${describeCall(call)}`)
  ])
  const end =
    stopped === null
      ? []
      : [
          `STOPPED after "${stopped.after}". ${stopped.means}`,
          ...(stopped.change === null ? [] : [stopped.change])
        ]
  const spent = Math.round(credits * 10_000) / 10_000
  return ['', ...lines, '', ...end, `${spent} credits were spent.`]
}

function describeCall({ label, status, type, reason, message, credits }: ProbeCall): string {
  const facts = [
    status === 0 ? null : `HTTP ${status}`,
    type,
    message,
    reason !== null && message?.includes(reason) !== true ? reason : null,
    credits === null ? null : `${credits} credits`
  ]
  const told = facts.filter((fact) => fact !== null && fact !== '')
  return told.length === 0 ? label : `${label}: ${told.join(', ')}`
}

export function secretsOfSettings(env: Environment): readonly string[] {
  return listSettings()
    .filter(({ setting }) => setting.isSecret === true)
    .flatMap(({ setting: { env: name, alias = name, kind } }) => {
      const texts = [env[name] ?? '', env[alias] ?? '']
      return texts.flatMap((text) => (kind === 'proxy' ? loginOf(text) : text.split(/[,\s]+/)))
    })
}

/** User and password of a proxy, encoded and decoded. */
function loginOf(address: string): readonly string[] {
  const [, login = ''] = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(.*)@/i.exec(address) ?? []
  return login.split(':').flatMap((part) => [part, decoded(part)])
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part // not percent-encoded after all
  }
}
