import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { listSettings } from '../../src/config/setting-text.ts'
import { VALKEY_RIGHTS } from '../../src/fleet/valkey-problems.ts'
import { FleetSeal } from '../../src/fleet/fleet-seal.ts'
import { ValkeyStore } from '../../src/fleet/valkey-store.ts'
import { EngineProcess, whyNoEngine } from '../helper/engine-process.ts'
import {
  buildManifests,
  KUBERNETES_FOLDER,
  type Manifest,
  problemsOf,
  whyNoKustomize
} from '../helper/kubernetes.ts'

t.setTimeout(120_000)

/** Records whose keys anybody may choose: a typo there is a name of its own. */
const FREE =
  /\/(data|labels|annotations|matchLabels|requests|limits|selector\/app\.kubernetes\.io|selector)$/

const at = (value: unknown, ...path: readonly (string | number)[]): unknown =>
  path.reduce<unknown>((found, name) => Reflect.get(Object(found), name), value)

function find(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((one) => one.kind === kind && one.metadata.name.startsWith(name))
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}

/** Each of the same object with one field misspelt, and where. */
function* misspelt(value: unknown, path = ''): Generator<readonly [string, unknown]> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, one] of Object.entries(value)) {
    for (const [where, changed] of misspelt(one, `${path}/${key}`)) {
      const copy: unknown = Array.isArray(value) ? [...value] : { ...value }
      Reflect.set(Object(copy), key, changed)
      yield [where, copy]
    }
    const isTop = path === '' && (key === 'apiVersion' || key === 'kind')
    if (Array.isArray(value) || FREE.test(path) || isTop) continue
    const { [key]: _gone, ...rest } = value as Record<string, unknown>
    yield [`${path}/${key}`, { ...rest, [`${key}s`]: one }]
  }
}

t.test('docker/kubernetes', { skip: whyNoKustomize() }, async (t) => {
  const base = buildManifests('base')
  const whole = buildManifests('overlay')
  const pods = at(find(base, 'StatefulSet', 'kiro-gateway'), 'spec', 'template', 'spec')
  const gateway = at(pods, 'containers', 0)
  const settings = at(find(base, 'ConfigMap', 'kiro-gateway'), 'data')

  t.test('is what Kubernetes knows, to the last field', async (t) => {
    t.ok(base.length >= 7 && whole.length > base.length)
    for (const manifest of [...base, ...whole]) {
      t.same(await problemsOf(manifest), [], `${manifest.kind} ${manifest.metadata.name}`)
    }
  })

  t.test('a typo is found, whichever field it is in', async (t) => {
    let typos = 0
    for (const manifest of whole) {
      for (const [where, changed] of misspelt(manifest)) {
        typos += 1
        const problems = await problemsOf(changed as Manifest)
        if (problems.length === 0) t.fail(`${manifest.kind}: ${where}`)
      }
    }
    t.ok(typos > 200, `${typos} typos`)
    t.comment(`${typos} typos, all found`)
    const wrong = {
      ...find(base, 'PodDisruptionBudget', 'kiro-gateway'),
      spec: { minAvailable: {} }
    }
    t.not((await problemsOf(wrong)).length, 0, 'nor a value of another type')
  })

  t.test('and one in a kustomization', async (t) => {
    const folder = t.testdir({})
    cpSync(KUBERNETES_FOLDER, folder, { recursive: true })
    const path = join(folder, 'base/kustomization.yaml')
    writeFileSync(path, readFileSync(path, 'utf8').replace('resources:', 'resource:'))
    t.throws(() => execFileSync('kustomize', ['build', join(folder, 'base')], { stdio: 'ignore' }))
  })

  t.test('runs one pod of a name, all at once, and ends them one after another', async (t) => {
    const { spec } = find(base, 'StatefulSet', 'kiro-gateway')
    t.match(spec, { podManagementPolicy: 'Parallel', serviceName: 'kiro-gateway-pods' })
    t.equal(at(find(base, 'Service', 'kiro-gateway-pods'), 'spec', 'clusterIP'), 'None')
    t.equal(at(find(base, 'PodDisruptionBudget', 'kiro-gateway'), 'spec', 'maxUnavailable'), 1)
    for (const [manifests, replicas] of [
      [base, 3],
      [whole, 2]
    ] as const) {
      t.equal(at(find(manifests, 'StatefulSet', 'kiro-gateway'), 'spec', 'replicas'), replicas)
      const told = find(manifests, 'ConfigMap', 'kiro-gateway')
      t.equal(at(told, 'data', 'FLEET_REPLICAS'), String(replicas))
    }
    t.equal(at(settings, 'FLEET_IDENTITY'), 'statefulset')
    t.match(at(gateway, 'env'), [
      { name: 'FLEET_MEMBER', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'FLEET_POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } }
    ])
    t.notOk([...base, ...whole].some(({ kind }) => kind === 'HorizontalPodAutoscaler'))
  })

  t.test('lets streams end', async (t) => {
    const grace = Number(at(pods, 'terminationGracePeriodSeconds'))
    t.equal(grace, Number(at(settings, 'DRAIN_TIMEOUT')) + 15)
    t.equal(at(settings, 'DRAIN_TIMEOUT'), '300')
    t.equal(at(gateway, 'lifecycle', 'preStop', 'sleep', 'seconds'), 5)
  })

  t.test('asks whether it serves, and of the process alone whether it lives', async (t) => {
    t.equal(at(gateway, 'startupProbe', 'httpGet', 'path'), '/readyz')
    t.equal(at(gateway, 'readinessProbe', 'httpGet', 'path'), '/readyz')
    t.equal(at(gateway, 'livenessProbe', 'httpGet', 'path'), '/livez')
  })

  t.test('is confined', async (t) => {
    const engine = at(find(whole, 'Deployment', 'kiro-engine'), 'spec', 'template', 'spec')
    for (const pod of [pods, engine]) {
      t.match(at(pod, 'securityContext'), {
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' }
      })
      t.equal(at(pod, 'automountServiceAccountToken'), false)
      t.match(at(pod, 'containers', 0, 'securityContext'), {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] }
      })
      t.ok(at(pod, 'containers', 0, 'resources', 'limits', 'memory'))
    }
    t.match(find(base, 'Namespace', 'kiro-gateway').metadata, {
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' }
    })
    for (const name of ['kiro-gateway', 'kiro-engine']) {
      t.same(at(find(whole, 'NetworkPolicy', name), 'spec', 'policyTypes'), ['Ingress', 'Egress'])
    }
  })

  t.test('has one Valkey, which keeps nothing', async (t) => {
    const { spec } = find(whole, 'Deployment', 'kiro-engine')
    t.match(spec, { replicas: 1, strategy: { type: 'Recreate' } })
    const volumes = at(spec, 'template', 'spec', 'volumes')
    t.notMatch(JSON.stringify(volumes), 'persistentVolumeClaim')
    const config = String(at(find(whole, 'ConfigMap', 'kiro-engine'), 'data', 'valkey.conf'))
    t.match(config, /^maxmemory-policy noeviction$/m)
    t.match(config, /^save ""$/m)
    t.match(config, /^appendonly no$/m)
  })

  const skip = whyNoEngine('valkey-server')
  t.test('a Valkey with these settings and that user will do', { skip }, async (t) => {
    const config = String(at(find(whole, 'ConfigMap', 'kiro-engine'), 'data', 'valkey.conf'))
    const page = readFileSync(join(KUBERNETES_FOLDER, 'README.md'), 'utf8')
    t.match(page, VALKEY_RIGHTS)
    const users = `user default off\nuser kiro on >secret ${VALKEY_RIGHTS}\n`
    const folder = t.testdir({ 'users.acl': users })
    const lines = config
      .split('\n')
      .filter((line) => !/^(#|port |dir |$)/.test(line))
      .map((line) => line.replace('/run/secrets/kiro-engine', folder))
    const process = await EngineProcess.start('valkey-server', lines)
    t.teardown(() => process.destroy())
    const open = (user: string) => {
      const url = `valkey://${user}127.0.0.1:${process.port}`
      const seal = new FleetSeal(['s'.repeat(32)], 'kiro')
      return ValkeyStore.open({ url, name: 'kiro', seal, replicas: 0 })
    }
    const engine = await open('kiro:secret@')
    t.match(await engine.read(), { reading: { type: 'none' } })
    await engine.close()
    await t.rejects(open(''), { message: /user or password/ })
  })

  t.test('names settings that there are, and holds no secret', async (t) => {
    const known = new Map(listSettings().map(({ setting }) => [setting.env, setting]))
    const env = at(gateway, 'env')
    t.ok(Array.isArray(env))
    const byReference = (Array.isArray(env) ? env : []).map((one: unknown) =>
      String(at(one, 'name'))
    )
    for (const name of [...Object.keys(Object(settings)), ...byReference]) {
      t.ok(known.has(name), name)
    }
    t.notOk(Object.keys(Object(settings)).some((name) => known.get(name)?.isSecret))
    for (const one of Array.isArray(env) ? env : []) {
      const isSecret = known.get(String(at(one, 'name')))?.isSecret === true
      if (isSecret) t.equal(at(one, 'valueFrom', 'secretKeyRef', 'name'), 'kiro-gateway')
    }
    t.ok(known.get('FLEET_URL')?.isSecret)
    t.notOk([...base, ...whole].some(({ kind }) => kind === 'Secret'))
  })

  t.test('is all described', async (t) => {
    const page = readFileSync(join(KUBERNETES_FOLDER, 'README.md'), 'utf8')
    for (const folder of readdirSync(KUBERNETES_FOLDER).filter((name) => !name.includes('.'))) {
      t.match(page, folder)
    }
  })
})
