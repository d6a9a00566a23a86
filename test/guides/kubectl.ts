import { readFileSync } from 'node:fs'
import { kustomize, problemsOf, readManifests } from '../helper/kubernetes.ts'

/*
 * Stands in for kubectl in guides, where there is no cluster: what would be sent is compared with Kubernetes' own schemas, field
 * by field. Knows `kustomize FOLDER`, `apply -k FOLDER`, `apply -f FILE` and `create secret generic NAME --from-literal=…`.
 */

const argv = process.argv
  .slice(2)
  .join(' ')
  .replace(/^-n \S+ /, '')
const [, folder] = /^(?:kustomize|apply -k) (\S+)$/.exec(argv) ?? []
const [, file] = /^apply -f (\S+)$/.exec(argv) ?? []
const [, secret] = /^create secret generic (\S+) --from-literal=/.exec(argv) ?? []

if (secret !== undefined) say(`secret/${secret} created`)
else if (folder === undefined && file === undefined) {
  say(`this stand-in has no cluster for: kubectl ${argv}`)
  process.exitCode = 1
} else {
  const text = file === undefined ? kustomize(folder ?? '') : readFileSync(file, 'utf8')
  if (argv.startsWith('kustomize')) say(text)
  else await apply(text)
}

async function apply(text: string): Promise<void> {
  for (const manifest of readManifests(text)) {
    const { apiVersion, kind, metadata } = manifest
    const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0]}` : ''
    const problems = await problemsOf(manifest)
    if (problems.length > 0) process.exitCode = 1
    const outcome = problems.length === 0 ? 'created' : problems.join('; ')
    say(`${kind.toLowerCase()}${group}/${metadata.name} ${outcome}`)
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
