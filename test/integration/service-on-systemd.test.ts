import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { isNightly } from '../helper/nightly.ts'
import { SystemdLab } from '../helper/systemd-lab.ts'

/*
 * `kiro-gateway service` at a real systemd, of which it has a machine of its own: the package as npm installs it for all users, a
 * user who has signed in, a reboot, crashes, and nothing left in the end.
 *
 *   NIGHTLY=1 node test/integration/service-on-systemd.test.ts
 */

const ROOT = join(import.meta.dirname, '../..')
const run = promisify(execFile)
const URL = 'http://127.0.0.1:8123'
const SETTINGS = `KIRO_API_KEY=ksk_${'a'.repeat(32)}\\nPROXY_API_KEY=${'b'.repeat(32)}\\nSERVER_PORT=8123\\n`
const UNIT = 'kiro-gateway.service'
const IN_FOLDER = 'cd ~/kiro && kiro-gateway service'
/** Files that useradd and userdel leave. */
const BACKUP = /^\/etc\/(?:passwd|shadow|group|gshadow|subuid|subgid)-$/
const READY = `for i in $(seq 100); do curl -sf ${URL}/readyz && exit; sleep 0.2; done; exit 1`

const isPossible =
  process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/lib/systemd/systemd')
const skip = !isNightly
  ? 'it takes minutes: every night'
  : !isPossible && 'it needs root and Debian’s systemd'

t.test('kiro-gateway service on systemd', { skip, timeout: 1_800_000 }, async (t) => {
  const lab = await labWithPackage(t)
  /** Its standard output; everything else that it says is shown where it fails. */
  const ask = async (line: string, user: string | null, code = 0): Promise<string> => {
    const outcome = await lab.run(line, user)
    t.equal(outcome.code, code, `${user ?? 'root'}: ${line}\n${outcome.stdout}${outcome.stderr}`)
    return outcome.stdout + outcome.stderr
  }
  await ask('useradd --create-home --shell /bin/bash anna', null)
  await ask(`mkdir kiro; printf '${SETTINGS}' > kiro/.env`, 'anna')
  // State that a gateway makes stays, and so it is not counted.
  const filesOfAnna = 'find ~ -path ~/.local -prune -o -path ~/.npm -prune -o -print | sort'
  const before = await ask(filesOfAnna, 'anna')

  await t.test('refuses what a service would not have', async (t) => {
    const shell = await ask(
      `cd kiro && HTTPS_PROXY=http://a:1 kiro-gateway service install`,
      'anna',
      2
    )
    t.match(shell, /HTTPS_PROXY: set in this shell alone.*\/home\/anna\/kiro\/\.env/)
    t.match(await ask('kiro-gateway service install', 'anna', 2), /There are no credentials/)
  })

  await t.test('installs for a user, once, and tells what it will do', async (t) => {
    t.match(await ask(`${IN_FOLDER} install --print`, 'anna'), /ExecStart=\S+node \S+start\.js/)
    t.equal(await ask(filesOfAnna, 'anna'), before, 'printing writes nothing')
    const said = await ask(`${IN_FOLDER} install --yes`, 'anna')
    t.match(said, `The service runs at ${URL}.`)
    t.match(said, /sudo loginctl enable-linger anna/, 'without polkit, only root can do that')
    await ask('loginctl enable-linger anna', null)
    t.match(await ask('stat --format %a ~/kiro/.env', 'anna'), '600')
    t.notMatch(await ask(`cat ~/.config/systemd/user/${UNIT}`, 'anna'), /ksk_|bbbb/)
    t.match(await ask(`${IN_FOLDER} install --yes`, 'anna'), /already installed like this/)
    const status = await ask('kiro-gateway service status', 'anna')
    for (const words of [/state +running/, /restarts +0/, /at boot/, URL, /verdict +ready/])
      t.match(status, words)
  })

  await t.test('a reboot', async (t) => {
    await lab.reboot()
    t.match(await ask(READY, null), '"ready"', 'it serves, and nobody has signed in')
    t.match(await ask('kiro-gateway service status', 'anna'), /state +running/)
    t.match(await ask('kiro-gateway service logs --since 1h', 'anna'), /gateway ready/)
    const first = 'timeout 120 kiro-gateway service logs --follow | head -n 1'
    t.match(await ask(`bash -o pipefail -c '${first}'`, 'anna'), /^.+\n$/, 'it leaves with head')
  })

  await t.test('reads settings again, and takes changes of the installation', async (t) => {
    await ask(`${IN_FOLDER} reload && sleep 1`, 'anna')
    t.match(await ask('kiro-gateway service logs', 'anna'), /configuration reloaded|reload/)
    await ask('mkdir other && cp kiro/.env other/', 'anna')
    const changed = await ask('cd other && kiro-gateway service install --yes', 'anna')
    t.match(
      changed,
      /- WorkingDirectory=\/home\/anna\/kiro\n +\+ WorkingDirectory=\/home\/anna\/other/
    )
    await ask(`${IN_FOLDER} install --yes && rm -r ~/other`, 'anna')
  })

  await t.test('settings that cannot be used', async (t) => {
    await ask('cp kiro/.env good && echo WORKERS=many >> kiro/.env', 'anna')
    const said = await ask(`${IN_FOLDER} restart`, 'anna', 1)
    t.match(said, /does not start \(failed, after exit code 78\)/)
    t.match(said, /WORKERS/, 'says which')
    const shown = await ask(`systemctl --user show ${UNIT} --property NRestarts`, 'anna')
    t.match(shown, 'NRestarts=0', 'it is not tried again')
    await ask(`mv good kiro/.env`, 'anna')
  })

  await t.test('a port that is taken', async (t) => {
    const listen = 'systemd-run --quiet --unit taker socat TCP-LISTEN:8123,fork,reuseaddr /dev/null'
    const python = `systemd-run --quiet --unit taker python3 -m http.server 8123 --bind 127.0.0.1`
    await ask(`command -v socat >/dev/null && ${listen} || ${python}; sleep 1`, null)
    const said = await ask(`${IN_FOLDER} start`, 'anna', 2)
    t.match(said, /127\.0\.0\.1:8123 is in use by/)
    await ask('systemctl stop taker', null)
    await ask(`${IN_FOLDER} start`, 'anna')
  })

  await t.test('crashes', async (t) => {
    const kill = `systemctl --user kill --kill-whom=main --signal=KILL ${UNIT}`
    await ask(`${kill}; sleep 3; ${READY}`, 'anna')
    t.match(await ask('kiro-gateway service status', 'anna'), /restarts +1/)
    await ask(`for i in $(seq 14); do ${kill}; sleep 2.6; done`, 'anna')
    const status = await ask('kiro-gateway service status', 'anna', 1)
    t.match(status, /failed: it ended too often/, 'ten starts in five minutes are enough')
    t.match(await ask(`${IN_FOLDER} start`, 'anna'), 'The service runs', 'start means start')
  })

  await t.test('is removed, and nothing of it stays', async (t) => {
    const said = await ask('kiro-gateway service uninstall --yes', 'anna')
    for (const kept of ['/home/anna/kiro/.env', '/home/anna/.local/state/kiro-gateway'])
      t.match(said, kept)
    t.equal(await ask(filesOfAnna, 'anna'), before)
    await ask('loginctl disable-linger anna', null)
    t.match(await ask(`systemctl --user status ${UNIT}`, 'anna', 4), /could not be found/)
    t.equal(await ask('pgrep -x node', null, 1), '')
  })

  await t.test('a system service', async (t) => {
    const files = 'find /etc /var/lib/kiro-gateway /var/cache/kiro-gateway 2>/dev/null | sort'
    const system = await ask(files, null)
    t.match(await ask(`${IN_FOLDER} install --system`, 'anna', 2), /is set up by root/)
    const key = 'mkdir -p /etc/kiro-gateway && cd /etc/kiro-gateway && kiro-gateway key new --write'
    await ask(key, null) // closed to all but root
    const first = await ask('cd / && kiro-gateway service install --system --yes', null)
    t.match(first, /not started, as it has no Kiro sign-in/)
    const [, asItsUser = ''] = /^ +(runuser .*) login$/m.exec(first) ?? []
    t.match(await ask(`${asItsUser} key list --json`, null), '{"keys":[]}', 'its user can sign in')
    await ask(`printf '${SETTINGS}' > /etc/kiro-gateway/.env`, null)
    t.match(await ask('stat --format "%U %a" /etc/kiro-gateway/.env', null), 'kiro-gateway 600')
    t.match(await ask('kiro-gateway service start', null), `The service runs at ${URL}.`)
    t.match(await ask('cd / && kiro-gateway service install --yes', null), /already installed/)
    await ask(`systemctl reload ${UNIT}`, null)
    await lab.reboot()
    await ask(READY, null)
    t.match(await ask('kiro-gateway service status', 'anna'), /settings +\/etc\/kiro-gateway/)
    const security = await ask(`systemd-analyze security --no-pager ${UNIT}`, null)
    t.match(security, /Overall exposure level .*: [01]\.\d/, 'as closed as the unit in docs/')
    const removed = await ask('kiro-gateway service uninstall --yes', null)
    t.match(removed, 'userdel kiro-gateway')
    await ask('rm -r /etc/kiro-gateway /var/lib/kiro-gateway && userdel kiro-gateway', null)
    const kept = new Set(system.split('\n'))
    const left = (await ask(files, null)).split('\n').filter((file) => !kept.has(file))
    t.same(
      left.filter((file) => !BACKUP.test(file)),
      []
    )
  })
})

/** With the package below /usr/local, as `npm install --global` puts it there. */
async function labWithPackage(t: Test): Promise<SystemdLab> {
  const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-global-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const pack = ['pack', '--silent', '--pack-destination', folder]
  const { stdout } = await run('npm', pack, { cwd: ROOT })
  const tarball = join(folder, stdout.trim().split('\n').at(-1) ?? '')
  const prefix = join(folder, 'local')
  const install = ['install', '--global', '--no-audit', '--no-fund', '--prefix', prefix, tarball]
  await run('npm', install, { cwd: folder })
  const lab = new SystemdLab([{ from: prefix, to: '/usr/local' }])
  t.teardown(() => lab.close())
  await lab.booted()
  return lab
}
