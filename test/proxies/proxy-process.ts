import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../helper/free-port.ts'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'

const ROOT = join(import.meta.dirname, '../..')

export type ProxyName = 'caddy' | 'nginx'

/** Why tests with Caddy are skipped; `false` where it is there. With CADDY_REQUIRED=1 a missing one fails. */
export function whyNoCaddy(): string | false {
  if (process.env['CADDY_REQUIRED'] === '1') return false
  return spawnSync('caddy', ['version']).status === 0
    ? false
    : 'there is no Caddy here: apt-get install caddy'
}

/** A proxy of Debian with a configuration of this project, in a folder of its own. */
export class ProxyProcess {
  readonly url: string
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #port: number
  #said = ''

  constructor(child: ChildProcess, folder: string, url: string) {
    this.#child = child
    this.#folder = folder
    this.url = url
    this.#port = Number(new URL(url).port)
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#said = (this.#said + chunk.toString()).slice(-4000)
      })
    }
  }

  /** With TLS before one gateway, by the file in `docs/proxies`. */
  static async start(name: ProxyName, gatewayUrl: string): Promise<ProxyProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'proxy-test-'))
    const port = await freePort()
    const { host } = new URL(gatewayUrl)
    const { key, cert } = selfSignedCertificate('localhost')
    writeFileSync(join(folder, 'key.pem'), key)
    writeFileSync(join(folder, 'cert.pem'), cert)
    const run = name === 'caddy' ? caddy : nginx
    return run(folder, `https://localhost:${port}`, withPlaces(name, { host, port, folder }))
  }

  /** Caddy without TLS before two, by the file of `docker-compose.update.yml`. */
  static async startForUpdates(first: string, second: string): Promise<ProxyProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'proxy-test-'))
    const port = await freePort()
    const config = readFileSync(join(ROOT, 'docker/Caddyfile'), 'utf8')
      .replace('gateway-a:8000 gateway-b:8000', `${new URL(first).host} ${new URL(second).host}`)
      .replace(/^:8000/m, `http://localhost:${port}`)
    return caddy(folder, `http://localhost:${port}`, config)
  }

  /**
   * Caddy with a certificate of its own CA (`tls internal`) before several, each in its turn, by the file of
   * `docker-compose.fleet.yml`.
   */
  static async startForFleet(gatewayUrls: readonly string[]): Promise<ProxyProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'proxy-test-'))
    const url = `https://localhost:${await freePort()}`
    const hosts = gatewayUrls.map((gateway) => new URL(gateway).host).join(' ')
    const config = readFileSync(join(ROOT, 'docker/Caddyfile'), 'utf8')
      .replace(/\{\$GATEWAYS:[^}]*\}/, hosts)
      .replace(/\{\$LB_POLICY:[^}]*\}/, 'round_robin')
      .replace(/^:8000 \{/m, `${url} {\n\ttls internal`)
    return caddy(folder, url, config)
  }

  /** The certificate of Caddy's own CA, which is made at its start. */
  get authority(): string {
    return join(this.#folder, 'caddy/pki/authorities/local/root.crt')
  }

  /** nginx reads its configuration again: it leads to another gateway now, and what runs goes on. */
  reload(gatewayUrl: string): void {
    const { host } = new URL(gatewayUrl)
    writeFileSync(
      join(this.#folder, 'site.conf'),
      withPlaces('nginx', { host, port: this.#port, folder: this.#folder })
    )
    this.#child.kill('SIGHUP')
  }

  async ready(): Promise<this> {
    for (let tries = 0; tries < 600; tries++) {
      if (this.#child.exitCode !== null) throw new Error(`the proxy ended:\n${this.#said}`)
      const socket = connect(this.#port, 'localhost')
      const isOpen = await once(socket, 'connect').then(
        () => true,
        () => false
      )
      socket.destroy()
      if (isOpen) return this
      await delay(50)
    }
    throw new Error(`the proxy does not listen:\n${this.#said}`)
  }

  async close(): Promise<void> {
    this.#child.kill('SIGTERM')
    if (this.#child.exitCode === null) await once(this.#child, 'close')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

interface Places {
  readonly host: string
  readonly port: number
  readonly folder: string
}

/** The file of the page, with the names of this machine. */
function withPlaces(name: ProxyName, { host, port, folder }: Places): string {
  const file = name === 'caddy' ? 'Caddyfile' : 'nginx.conf'
  const text = readFileSync(join(ROOT, 'docs/proxies', file), 'utf8').replace(
    '127.0.0.1:8000',
    host
  )
  if (name === 'caddy') {
    const tls = `tls ${join(folder, 'cert.pem')} ${join(folder, 'key.pem')}`
    return text.replace('gateway.example.com {', `https://localhost:${port} {\n\t${tls}`)
  }
  return text
    .replace('listen 443 ssl', `listen ${port} ssl`)
    .replace('server_name gateway.example.com', 'server_name localhost')
    .replace(/\/etc\/letsencrypt\/\S+fullchain\.pem/, join(folder, 'cert.pem'))
    .replace(/\/etc\/letsencrypt\/\S+privkey\.pem/, join(folder, 'key.pem'))
}

function caddy(folder: string, url: string, config: string): Promise<ProxyProcess> {
  const file = join(folder, 'Caddyfile')
  writeFileSync(
    file,
    `{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n${config}`
  )
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    XDG_DATA_HOME: folder,
    XDG_CONFIG_HOME: folder
  }
  const args = ['run', '--adapter', 'caddyfile', '--config', file]
  return new ProxyProcess(spawn('caddy', args, { env, stdio: 'pipe' }), folder, url).ready()
}

function nginx(folder: string, url: string, site: string): Promise<ProxyProcess> {
  mkdirSync(join(folder, 'temp'))
  writeFileSync(join(folder, 'site.conf'), site)
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `  ${name}_temp_path ${folder}/temp/${name};`
  )
  const config = [
    `daemon off; pid ${folder}/pid; error_log stderr;`,
    'events { worker_connections 1024; }',
    'http {',
    '  access_log off;',
    ...temp,
    `  include ${folder}/site.conf;`,
    '}'
  ]
  writeFileSync(join(folder, 'nginx.conf'), config.join('\n'))
  const args = ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')]
  return new ProxyProcess(spawn('/usr/sbin/nginx', args, { stdio: 'pipe' }), folder, url).ready()
}
