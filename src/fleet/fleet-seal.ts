import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { TextSeal } from '../shared/text-seal.ts'

const KEY_BYTES = 32

interface SecretKeys {
  readonly sealing: Buffer
  /** A cipher and a signature never share a key. */
  readonly signing: Buffer
  readonly check: string
}

/** Seals and signs under keys of `FLEET_SECRET`: the first is used, all are accepted. */
export class FleetSeal extends TextSeal {
  readonly #keys: readonly SecretKeys[]

  /** `name` is `FLEET_NAME`: other fleets have other keys. */
  constructor(secrets: readonly string[], name: string) {
    const keys = secrets.map((secret) => keyOf(secret, name))
    super(keys.map(({ sealing }) => sealing))
    this.#keys = keys
  }

  get checks(): readonly string[] {
    return this.#keys.map(({ check }) => check)
  }

  sign(text: string): string {
    return signatureOf(text, this.#first).toString('hex')
  }

  isSigned(text: string, signature: string): boolean {
    const given = Buffer.from(signature, 'hex')
    return this.#keys.some((key) => {
      const own = signatureOf(text, key)
      return own.length === given.length && timingSafeEqual(own, given)
    })
  }

  get #first(): SecretKeys {
    const first = this.#keys[0]
    if (first === undefined) throw new Error('a seal needs a secret')
    return first
  }
}

function keyOf(secret: string, name: string): SecretKeys {
  const derive = (what: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', `kiro-gateway ${what} ${name}`, KEY_BYTES))
  return {
    sealing: derive('seal'),
    signing: derive('sign'),
    check: createHmac('sha256', secret).update(`kiro-gateway fleet ${name}`).digest('hex')
  }
}

function signatureOf(text: string, { signing }: SecretKeys): Buffer {
  return createHmac('sha256', signing).update(text).digest()
}
