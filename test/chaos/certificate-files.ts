import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'

/** A fresh certificate for 127.0.0.1, as files that processes can be given. */
export class CertificateFiles {
  readonly #folder = mkdtempSync(join(tmpdir(), 'chaos-certificate-'))
  readonly keyFile = join(this.#folder, 'key.pem')
  readonly certFile = join(this.#folder, 'cert.pem')

  constructor() {
    const { key, cert } = selfSignedCertificate()
    writeFileSync(this.keyFile, key, { mode: 0o600 })
    writeFileSync(this.certFile, cert)
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
