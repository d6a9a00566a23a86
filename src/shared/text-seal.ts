import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16
const ID_BYTES = 4

interface SealKey {
  readonly id: Buffer
  readonly key: Uint8Array
}

/**
 * AES-256-GCM under keys of 32 bytes: the first seals, all open. Base64 of key id (4 bytes), nonce (12), tag (16), text.
 * Random nonces allow 2^32 values per key.
 */
export class TextSeal {
  readonly #keys: readonly SealKey[]

  constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys.map((key) => ({
      id: createHash('sha256').update(key).digest().subarray(0, ID_BYTES),
      key
    }))
  }

  /** `aad` binds purpose and place: the text opens nowhere else. */
  seal(plain: string, aad: string): string {
    const [first] = this.#keys
    if (first === undefined) throw new Error('a seal needs a secret')
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, first.key, nonce).setAAD(Buffer.from(aad))
    const text = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
    return Buffer.concat([first.id, nonce, cipher.getAuthTag(), text]).toString('base64')
  }

  /** `null` unless sealed under one of these keys for `aad`, and unchanged. */
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
