import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'

export const KUBERNETES_FOLDER = join(import.meta.dirname, '../../docker/kubernetes')

/** One object that Kubernetes is told of. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [key: string]: unknown
}

/**
 * Why tests that build manifests are skipped; `false` where they can be. With KUSTOMIZE_REQUIRED=1 it must be there: then its
 * absence fails.
 */
export function whyNoKustomize(): string | false {
  if (process.env['KUSTOMIZE_REQUIRED'] === '1') return false
  try {
    execFileSync('kustomize', ['version'], { stdio: 'ignore' })
    return false
  } catch {
    return 'kustomize is not installed: apt-get install kustomize'
  }
}

/** What `kubectl apply -k` would send, of a folder of docker/kubernetes. */
export function buildManifests(folder: string): readonly Manifest[] {
  return readManifests(kustomize(join(KUBERNETES_FOLDER, folder)))
}

/** The text of all objects of a folder. */
export function kustomize(folder: string): string {
  return execFileSync('kustomize', ['build', folder], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe']
  })
}

export function readManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document): Manifest => document.toJS())
}

/**
 * What Kubernetes' own schemas find wrong with an object. They pass over fields that they do not know, as Kubernetes does; those
 * are the ones that nothing has looked at.
 */
export async function problemsOf(manifest: Manifest): Promise<readonly string[]> {
  const { validate } = await schemaOf(manifest)
  const unread = new Map<object, Set<string>>()
  const paths = new Map<object, string>()
  const isValid = validate(watched(manifest, '', { unread, paths }))
  const wrong = isValid ? [] : (validate.errors ?? []).map((error) => JSON.stringify(error))
  const unknown = [...unread].flatMap(([object, keys]) =>
    Array.from(keys, (key) => `${paths.get(object)}/${key} is not known`)
  )
  return [...wrong, ...unknown]
}

interface Validate {
  (value: unknown): boolean
  readonly errors?: readonly object[] | null
}

async function schemaOf({ apiVersion, kind }: Manifest): Promise<{ readonly validate: Validate }> {
  const [group = '', version] = apiVersion.includes('/')
    ? apiVersion.split('/')
    : ['core', apiVersion]
  const name = `${capital(group.split('.')[0])}${capital(version)}${kind}`
  return import(`kubernetes-models/_schemas/IoK8sApi${name}`)
}

function capital(word = ''): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}

interface Watch {
  /** Fields that nothing has asked for, by object. */
  readonly unread: Map<object, Set<string>>
  readonly paths: Map<object, string>
}

/** The same value, which notes what is read of it. */
function watched(value: unknown, path: string, watch: Watch): unknown {
  if (typeof value !== 'object' || value === null) return value
  const copy: object = Array.isArray(value) ? [] : {}
  for (const [key, one] of Object.entries(value)) {
    Reflect.set(copy, key, watched(one, `${path}/${key}`, watch))
  }
  if (Array.isArray(value)) return copy
  const keys = new Set(Object.keys(value))
  watch.unread.set(copy, keys)
  watch.paths.set(copy, path)
  return new Proxy(copy, {
    get(target, key, receiver) {
      keys.delete(String(key))
      return Reflect.get(target, key, receiver)
    }
  })
}
