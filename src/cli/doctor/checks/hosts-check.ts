import { proxyOf } from '../../../upstream/proxy/proxy.ts'
import type { Check } from './checkup.ts'
import { type DoctorFinding, found } from './finding.ts'
import { judgeVisits } from './visit.ts'

export const hostsCheck: Check = {
  id: 'hosts',
  title: 'hosts: names, TLS, answers',
  async run(checkup) {
    const visits = await checkup.visits()
    return uniqueOf(judgeVisits(visits))
  }
}

export const proxyCheck: Check = {
  id: 'proxies',
  title: 'proxies',
  async run({ config, env }) {
    const proxy = proxyOf(config.proxy)
    if (proxy !== null) {
      const { exceptions } = config.proxy
      const more = exceptions === null ? '' : `, except for hosts of NO_PROXY`
      return [
        found('proxy-used', `Hosts are called through ${proxy.name} (${proxy.setting})${more}.`)
      ]
    }
    const ignored = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'].filter(
      (name) => (env[name] ?? '').trim() !== ''
    )
    if (ignored.length === 0)
      return [found('proxy-used', 'No proxy is set; hosts are called directly.')]
    return [
      found('proxy-ignored', `${ignored.join(' and ')} is set, which the gateway does not use.`)
    ]
  }
}

const WARN_AHEAD_MS = 30_000
const MAX_AHEAD_MS = 300_000

export const clockCheck: Check = {
  id: 'clock',
  title: 'clock',
  async run(checkup) {
    const visits = await checkup.visits()
    return [judgeClock(visits.flatMap(({ aheadMs }) => aheadMs ?? []))]
  }
}

/** Uses the median: one host may be wrong itself. */
export function judgeClock(aheadMs: readonly number[]): DoctorFinding {
  const sorted = aheadMs.toSorted((a, b) => a - b)
  const middle = sorted[Math.floor((sorted.length - 1) / 2)]
  if (middle === undefined) return found('clock-unknown', 'No host reported its time.')
  const seconds = Math.round(Math.abs(middle) / 1000)
  const what = `The clock of this machine is ${describeSeconds(seconds)} ${middle < 0 ? 'behind' : 'ahead of'} ${sorted.length === 1 ? 'that of the host that answered' : `those of ${sorted.length} hosts`}.`
  if (Math.abs(middle) > MAX_AHEAD_MS) return found('clock-wrong', what)
  if (Math.abs(middle) > WARN_AHEAD_MS) return found('clock-off', what)
  return found(
    'clock-right',
    `The clock agrees with ${sorted.length} of the hosts, within ${seconds + 1} s.`
  )
}

function describeSeconds(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} minutes`
  return seconds < 172_800
    ? `${Math.round(seconds / 3600)} hours`
    : `${Math.round(seconds / 86_400)} days`
}

function uniqueOf(findings: readonly DoctorFinding[]): readonly DoctorFinding[] {
  const seen = new Set<string>()
  return findings.filter(({ id, what }) => {
    const isNew = !seen.has(`${id} ${what}`)
    seen.add(`${id} ${what}`)
    return isNew
  })
}
