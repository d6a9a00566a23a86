import { readFileSync } from 'node:fs'
import t from 'tap'
import { SUITES } from './catalogue.ts'

const { devDependencies } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
) as { devDependencies: Readonly<Record<string, string>> }

t.test('pins every package and commit', async (t) => {
  for (const { id, packages, source } of SUITES) {
    for (const [name, version] of Object.entries(packages)) {
      t.match(version, /^\d+\.\d+\.\d+$/, `${id}: ${name}`)
    }
    if (source !== undefined) t.match(source.commit, /^[0-9a-f]{40}$/, id)
  }
})

t.test('takes the types of the SDKs from the versions that ask', async (t) => {
  const packages = Object.assign({}, ...SUITES.map((suite) => suite.packages))
  for (const name of ['openai', '@anthropic-ai/sdk']) {
    t.equal(packages[name], devDependencies[name], name)
  }
})

t.test('names packages for Python in the file that the workflow installs', async (t) => {
  const requirements = readFileSync(new URL('./programs/requirements.txt', import.meta.url), 'utf8')
  for (const { pythonPackage } of SUITES) {
    if (pythonPackage !== undefined) t.match(requirements, `${pythonPackage}==`)
  }
})

t.test('gives a whole sentence as the reason of each exclusion', async (t) => {
  for (const { reason } of SUITES.flatMap(({ exclusions }) => exclusions)) {
    t.match(reason, /^[A-Z].*\.$/)
  }
})
