import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'

const ROOT = join(import.meta.dirname, '../..')
const text = readFileSync(join(ROOT, '.github/workflows/release.yml'), 'utf8')
const workflow: unknown = parse(text)

function at(...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((value, name) => Reflect.get(Object(value), name), workflow)
}

function stepsOf(job: string): readonly Record<string, unknown>[] {
  const steps = at('jobs', job, 'steps')
  return Array.isArray(steps) ? steps : []
}

t.test('the release', async (t) => {
  const used = [...text.matchAll(/uses: (\S+)/g)].map(([, name = '']) => name)
  t.ok(used.length > 5)
  t.same(
    used.filter((name) => !/@[0-9a-f]{40}$/.test(name)),
    [],
    'takes actions by their commit: a tag of somebody else may move'
  )
  t.same(at('permissions'), {}, 'has no rights but those that a job names')
  t.same(at('jobs', 'npm', 'permissions'), { contents: 'read', 'id-token': 'write' })
  for (const job of ['npm', 'image']) t.equal(at('jobs', job, 'needs'), 'check', `${job} is tested`)
  const commands = stepsOf('npm').map(({ run }) => String(run))
  t.ok(commands.some((run) => /^npm publish .*--ignore-scripts .*--provenance/.test(run)))
})

t.test('the released image', async (t) => {
  const build = stepsOf('image').find(({ uses }) => /build-push-action/.test(String(uses)))
  t.match(build?.['with'], {
    platforms: 'linux/amd64,linux/arm64',
    provenance: 'mode=max',
    sbom: true,
    'build-args': undefined
  })
  const base = stepsOf('check').find(({ run }) => /ARG NODE_IMAGE/.test(String(run)))
  t.match(
    base?.['run'],
    /@sha256:\[0-9a-f\]\{64\}\$' docker\/Dockerfile/,
    'on a base with its digest'
  )
})
