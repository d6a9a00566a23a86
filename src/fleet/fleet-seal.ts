import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual
} from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const ID_BYTES = 4

interface SealKey {
  /** Tells which secret it is, and nothing about it. */
  readonly id: Buffer
  readonly key: Buffer
  /** For signatures: a cipher and a code never share a key. */
  readonly signing: Buffer
  readonly check: string
}

/**
 * Keeps secrets in an engine that others can read: AES-256-GCM under keys from `FLEET_SECRET`, of which the first seals and
 * all open. Sealed: base64 of key id (4 bytes), nonce (12), tag (16), text. With random nonces, 2^32 values of one secret.
 */
export class FleetSeal {
  readonly #keys: readonly SealKey[]

  /** `name` is `FLEET_NAME`: another fleet has other keys. At least one secret. */
  constructor(secrets: readonly string[], name: string) {
    this.#keys = secrets.map((secret) => keyOf(secret, name))
  }

  /** Public names of the secrets, in their order. One stands beside each signature and reveals nothing about its secret. */
  get checks(): readonly string[] {
    return this.#keys.map(({ check }) => check)
  }

  /** Signs what everybody may read. */
  sign(text: string): string {
    return signatureOf(text, this.#first).toString('hex')
  }

  /** Returns whether one of these secrets has signed exactly this. */
  isSigned(text: string, signature: string): boolean {
    const given = Buffer.from(signature, 'hex')
    return this.#keys.some((key) => {
      const own = signatureOf(text, key)
      return own.length === given.length && timingSafeEqual(own, given)
    })
  }

  /** `aad` says what is sealed, and where it belongs: it opens nowhere else. */
  seal(plain: string, aad: string): string {
    const first = this.#first
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, first.key, nonce).setAAD(Buffer.from(aad))
    const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
    return Buffer.concat([first.id, nonce, cipher.getAuthTag(), text]).toString('base64')
  }

  get #first(): SealKey {
    const first = this.#keys[0]
    if (first === undefined) throw new Error('a seal needs a secret')
    return first
  }

  /** `null` for what was not sealed by one of these secrets for `aad`, or was changed since. */
  open(sealed: string, aad: string): string | null {
    const bytes = Buffer.from(sealed, 'base64')
    const [nonceAt, tagAt] = [ID_BYTES, ID_BYTES + NONCE_BYTES]
    const textAt = tagAt + TAG_BYTES
    const key = this.#keys.find(({ id }) => id.equals(bytes.subarray(0, nonceAt)))
    if (key === undefined || bytes.length < textAt) return null
    const nonce = bytes.subarray(nonceAt, tagAt)
    try {
      const decipher = createDecipheriv(CIPHER, key.key, nonce, { authTagLength: TAG_BYTES })
      decipher.setAAD(Buffer.from(aad)).setAuthTag(bytes.subarray(tagAt, textAt))
      return decipher.update(bytes.subarray(textAt), undefined, 'utf8') + decipher.final('utf8')
    } catch {
      return null // its tag is another one
    }
  }
}

function keyOf(secret: string, name: string): SealKey {
  const derive = (what: string): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', `kiro-gateway ${what} ${name}`, KEY_BYTES))
  const key = derive('seal')
  return {
    id: createHash('sha256').update(key).digest().subarray(0, ID_BYTES),
    key,
    signing: derive('sign'),
    check: createHmac('sha256', secret).update(`kiro-gateway fleet ${name}`).digest('hex')
  }
}

function signatureOf(text: string, { signing }: SealKey): Buffer {
  return createHmac('sha256', signing).update(text).digest()
}
