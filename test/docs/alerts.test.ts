import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { documentedMetrics } from '../helper/documented-metrics.ts'
import { PROMETHEUS_FOLDER, promtool, withoutPrometheus } from '../helper/prometheus.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

const file = join(PROMETHEUS_FOLDER, 'alerts.yml')
const rules: readonly Rule[] = parse(readFileSync(file, 'utf8')).groups[0].rules

/** Prometheus' notation: a value, and how it goes on for an hour. */
type Values = Readonly<Record<string, string>>

const K = 'kiro_gateway_'
const ON = 'instance="g",job="kiro-gateway"'

/** A gateway that is well and busy. Its names are given without what all have. */
const CALM: Values = {
  up: '1x240',
  [`${K}sign_in_usable`]: '1x240',
  [`${K}sign_in_ends_timestamp_seconds{sign_in="current"}`]: '4000000x240',
  [`${K}account_credits{state="used"}`]: '100+1x240',
  [`${K}account_credits{state="limit"}`]: '1000x240',
  [`${K}key_credits_used{key="anna"}`]: '10x240',
  [`${K}key_credits_limit{key="anna"}`]: '100x240',
  [`${K}workers_ready`]: '2x240',
  [`${K}workers_configured`]: '2x240',
  [`${K}worker_restarts_total`]: '3x240',
  [`${K}requests_lost_total`]: '2x240',
  [`${K}requests_total{status="200"}`]: '0+20x240',
  [`${K}requests_total{status="502"}`]: '7x240',
  [`${K}pool_timeouts_total`]: '5x240',
  [`${K}pool_queue_rejected_total`]: '5x240',
  [`${K}pool_waiters`]: '3 0 5 0x237',
  [`${K}first_byte_seconds_bucket{le="15"}`]: '0+19x240',
  [`${K}first_byte_seconds_bucket{le="30"}`]: '0+20x240',
  [`${K}first_byte_seconds_bucket{le="60"}`]: '0+20x240',
  [`${K}first_byte_seconds_bucket{le="+Inf"}`]: '0+20x240',
  [`${K}upstream_retries_total{code="GW_UPSTREAM_RESET"}`]: '0+1x240',
  gen_ai_client_operation_duration_seconds_count: '0+20x240',
  [`${K}answers_cut_total{code="GW_STREAM_TRUNCATED"}`]: '4x240',
  [`${K}memory_used_bytes`]: '300000000x240',
  [`${K}memory_limit_bytes`]: '536870912x240',
  [`${K}admitted_bytes`]: '90000000 1000x239',
  [`${K}admissible_bytes`]: '95000000x240',
  [`${K}event_loop_delay_seconds{quantile="0.99"}`]: '0.02x240',
  [`${K}log_lines_lost_total`]: '9x240',
  [`${K}fleet_contact_seconds`]: '1x240',
  [`${K}fleet_phase{phase="open"}`]: '1x240',
  [`${K}fleet_phase{phase="joining"}`]: '0x240',
  [`${K}fleet_phase{phase="learning"}`]: '0x240',
  [`${K}fleet_members{state="present"}`]: '3x240',
  [`${K}fleet_replicas`]: '3x240',
  [`${K}upstream_unknown_events_total`]: '1x240',
  [`${K}upstream_unknown_reasons_total`]: '0x240'
}

/** What makes each alert fire half an hour later, and what is not quite enough. */
const CASES: Readonly<Record<string, { readonly fires: Values; readonly nearly: Values }>> = {
  KiroGatewayDown: { fires: { up: '1x100 0x140' }, nearly: { up: '1x118 0x1 1x120' } },
  KiroGatewaySignedOut: {
    fires: { [`${K}sign_in_usable`]: '0x240' },
    nearly: { [`${K}sign_in_usable`]: '1x115 0x3 1x120' }
  },
  KiroGatewaySignInEnds: {
    fires: { [`${K}sign_in_ends_timestamp_seconds{sign_in="current"}`]: '259000x240' },
    nearly: { [`${K}sign_in_ends_timestamp_seconds{sign_in="current"}`]: '270000x240' }
  },
  KiroGatewayAccountRefused: {
    fires: { [`${K}account_bars{bar="monthly"}`]: '1x240' },
    nearly: { [`${K}account_bars{bar="user-rate"}`]: '1x240' }
  },
  KiroGatewayQuotaLow: {
    fires: { [`${K}account_credits{state="used"}`]: '901x240' },
    nearly: { [`${K}account_credits{state="used"}`]: '899x240' }
  },
  KiroGatewayKeyNearLimit: {
    fires: { [`${K}key_credits_used{key="anna"}`]: '91x240' },
    nearly: { [`${K}key_credits_used{key="anna"}`]: '89x240' }
  },
  KiroGatewayWorkerMissing: {
    fires: { [`${K}workers_ready`]: '1x240' },
    nearly: { [`${K}workers_ready`]: '2x115 1x4 2x120' }
  },
  KiroGatewayWorkersDie: {
    fires: { [`${K}worker_restarts_total`]: '3x90 4x10 5x140' },
    nearly: { [`${K}worker_restarts_total`]: '3x90 4x150' }
  },
  KiroGatewayRequestsLost: {
    fires: { [`${K}requests_lost_total`]: '2x100 3x140' },
    nearly: { [`${K}requests_lost_total`]: '2x20 3x220' }
  },
  KiroGatewayRequestsFail: {
    fires: { [`${K}requests_total{status="502"}`]: '7+2x240' },
    nearly: { [`${K}requests_total{status="502"}`]: '7+1x240' }
  },
  KiroGatewayPoolTimeout: {
    fires: { [`${K}pool_timeouts_total`]: '5x110 6x130' },
    nearly: { [`${K}pool_timeouts_total`]: '5x60 6x180' }
  },
  KiroGatewayQueueFull: {
    fires: { [`${K}pool_queue_rejected_total`]: '5x110 6x130' },
    nearly: { [`${K}pool_queue_rejected_total`]: '5x60 6x180' }
  },
  KiroGatewayRequestsWait: {
    fires: { [`${K}pool_waiters`]: '1x240' },
    nearly: { [`${K}pool_waiters`]: '40x100 0 40x139' }
  },
  KiroGatewayAnswersBeginLate: {
    fires: {
      [`${K}first_byte_seconds_bucket{le="15"}`]: '0+10x240',
      [`${K}first_byte_seconds_bucket{le="30"}`]: '0+18x240'
    },
    nearly: { [`${K}first_byte_seconds_bucket{le="15"}`]: '0+10x240' }
  },
  KiroGatewayUpstreamUnsteady: {
    fires: { [`${K}upstream_retries_total{code="GW_UPSTREAM_RESET"}`]: '0+5x240' },
    nearly: { [`${K}upstream_retries_total{code="GW_UPSTREAM_RESET"}`]: '0+3x240' }
  },
  KiroGatewayAnswersCut: {
    fires: { [`${K}answers_cut_total{code="GW_STREAM_TRUNCATED"}`]: '4x100 9x140' },
    nearly: { [`${K}answers_cut_total{code="GW_STREAM_TRUNCATED"}`]: '4x100 6x140' }
  },
  KiroGatewayMemoryHigh: {
    fires: { [`${K}memory_used_bytes`]: '490000000x240' },
    nearly: { [`${K}memory_used_bytes`]: '480000000x240' }
  },
  KiroGatewayBodiesFillMemory: {
    fires: { [`${K}admitted_bytes`]: '90000000x240' },
    nearly: { [`${K}admitted_bytes`]: '90000000x110 1000 90000000x129' }
  },
  KiroGatewayEventLoopLate: {
    fires: { [`${K}event_loop_delay_seconds{quantile="0.99"}`]: '0.3x240' },
    nearly: { [`${K}event_loop_delay_seconds{quantile="0.99"}`]: '0.2x240' }
  },
  KiroGatewayLogLost: {
    fires: { [`${K}log_lines_lost_total`]: '9x100 10x140' },
    nearly: { [`${K}log_lines_lost_total`]: '9x20 10x220' }
  },
  KiroGatewayUpstreamIsNew: {
    fires: { [`${K}upstream_unknown_reasons_total`]: '0x50 1x190' },
    nearly: { [`${K}upstream_unknown_reasons_total`]: '4x240' }
  },
  KiroGatewayFleetValkeyAway: {
    fires: { [`${K}fleet_contact_seconds`]: '1x90 40x150' },
    nearly: { [`${K}fleet_contact_seconds`]: '1x100 40x2 1x138' }
  },
  KiroGatewayFleetOutside: {
    fires: { [`${K}fleet_phase{phase="joining"}`]: '1x240' },
    nearly: { [`${K}fleet_phase{phase="joining"}`]: '1x100 1x5 0x135' }
  },
  KiroGatewayFleetLearning: {
    fires: { [`${K}fleet_phase{phase="learning"}`]: '1x240' },
    nearly: { [`${K}fleet_phase{phase="learning"}`]: '0x90 1x150' }
  },
  KiroGatewayFleetMemberMissing: {
    fires: { [`${K}fleet_members{state="present"}`]: '2x240' },
    nearly: { [`${K}fleet_members{state="present"}`]: '3x90 2x150' }
  }
}

/** A test as promtool reads it, whose YAML may be JSON: exactly these alerts fire after half an hour. */
function toTest(name: string, values: Values, firing: readonly string[]) {
  return {
    name,
    interval: '15s',
    input_series: Object.entries({ ...CALM, ...values }).map(([series, steps]) => ({
      series: series.endsWith('}') ? series.replace('{', `{${ON},`) : `${series}{${ON}}`,
      values: steps
    })),
    promql_expr_test: [
      {
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: '30m',
        exp_samples: firing.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 }))
      }
    ]
  }
}

t.setTimeout(300_000) // promtool takes two seconds of a CPU, and the machine may be busy

t.test('docs/prometheus', (t) => {
  t.test('every alert has a case of its own, and no case is of none', async (t) => {
    t.same(
      rules.map(({ alert }) => alert),
      Object.keys(CASES)
    )
  })

  t.test('alerts are about metrics that there are, and say what to do', async (t) => {
    const known = new Set(documentedMetrics().map(({ name }) => name))
    for (const { alert, expr, labels, annotations } of rules) {
      const names = expr.match(/\b(?:kiro_gateway|gen_ai|http_client|process|nodejs)_[a-z_]+/g) ?? [
        ''
      ]
      for (const name of names.filter((one) => !expr.includes(`"${one}"`))) {
        const isKnown = known.has(name) || known.has(name.replace(/_(bucket|count|sum)$/, ''))
        t.ok(isKnown || expr.startsWith('up{'), `${alert}: ${name}`)
      }
      t.match(labels.severity, /^(critical|warning|info)$/, alert)
      t.match(annotations.summary, '{{ $', `${alert}: says which`)
      t.ok(annotations.description.length > 40, `${alert}: says what to do`)
    }
  })

  t.test(
    'promtool takes the rules and the configuration',
    { skip: withoutPrometheus() },
    async (t) => {
      t.match(promtool('check', 'rules', file), `SUCCESS: ${rules.length} rules found`)
      const config = join(PROMETHEUS_FOLDER, 'prometheus.yml')
      t.match(promtool('check', 'config', '--syntax-only', config), 'SUCCESS')
    }
  )

  t.test(
    'each alert fires, alone, and none does where all is well or nearly so',
    { skip: withoutPrometheus() },
    async (t) => {
      const tests = Object.entries(CASES).map(([alert, { fires }]) => toTest(alert, fires, [alert]))
      const nearly = Object.assign({}, ...Object.values(CASES).map((one) => one.nearly))
      const path = join(t.testdir({}), 'tests.yml')
      const all = [toTest('calm', {}, []), toTest('nearly', nearly, []), ...tests]
      const settings = { rule_files: [file], evaluation_interval: '1m' }
      writeFileSync(path, JSON.stringify({ ...settings, tests: all }))
      try {
        t.match(promtool('test', 'rules', path), 'SUCCESS')
      } catch (cause) {
        t.fail(String(Reflect.get(Object(cause), 'stderr') || cause))
      }
    }
  )
  t.end()
})
