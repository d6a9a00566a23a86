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
  readonly id: Buffer
  readonly key: Buffer
  /** A cipher and a signature never share a key. */
  readonly signing: Buffer
  readonly check: string
}

/**
 * AES-256-GCM under keys of `FLEET_SECRET`: the first seals, all open. Base64 of key id (4 bytes), nonce (12), tag
 * (16), text. Random nonces allow 2^32 values per secret.
 */
export class FleetSeal {
  readonly #keys: readonly SealKey[]

  /** `name` is `FLEET_NAME`: other fleets have other keys. */
  constructor(secrets: readonly string[], name: string) {
    this.#keys = secrets.map((secret) => keyOf(secret, name))
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

  /** `aad` binds purpose and place: the text opens nowhere else. */
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

  /** `null` unless sealed by one of these secrets for `aad`, and unchanged. */
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
