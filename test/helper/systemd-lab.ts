import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CliOutcome } from './cli-process.ts'

/** A folder of this machine, at another place of the lab. */
export interface Bind {
  readonly from: string
  readonly to: string
}

/**
 * A Debian with systemd as its first process: the files of this machine below a layer of its own, and own processes, network and
 * control groups. A reboot keeps its files. Needs root and Linux.
 */
export class SystemdLab {
  readonly #outer: ChildProcess
  readonly #folder: string
  #output = ''

  constructor(binds: readonly Bind[]) {
    this.#folder = mkdtempSync(join(tmpdir(), 'systemd-lab-'))
    const places = binds.map(({ from, to }) => `bind '${from}' '${to}'`).join('\n')
    const script = `${OUTER}\nboot() { ${UNSHARE} sh -c "$INNER" 2>&1 || :; }\nINNER='${INNER(places)}'\nwhile :; do boot; done`
    this.#outer = spawn(
      'unshare',
      ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script],
      {
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LAB: this.#folder },
        stdio: ['ignore', 'pipe', 'pipe']
      }
    )
    for (const stream of [this.#outer.stdout, this.#outer.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
  }

  /** Resolves when it has booted. */
  async booted(): Promise<void> {
    const deadline = Date.now() + 120_000
    for (;;) {
      const { stdout } = await this.run('systemctl is-system-running').catch(() => ({ stdout: '' }))
      if (/^(running|degraded)$/m.test(stdout)) return
      if (Date.now() > deadline) throw new Error(`it does not boot: ${stdout}${this.#output}`)
      await sleep(200)
    }
  }

  /** Ends all of it, and resolves when it has booted again. */
  async reboot(): Promise<void> {
    const before = this.#init()
    await this.run('systemctl reboot').catch(() => {}) // it may be gone before it has said so
    while (this.#init() === before) await sleep(100)
    await this.booted()
  }

  /** Runs a line of shell as root, or in a new session of a user. */
  async run(line: string, user: string | null = null): Promise<CliOutcome> {
    const init = this.#init()
    if (init === null) throw new Error('it has not started')
    const command =
      user === null ? ['sh', '-c', line] : ['runuser', '--login', user, '--command', line]
    const enter = ['--target', String(init), '-m', '-p', '-u', '-i', '-n', '-C', '-r', '-w', '--']
    const child = execFile('nsenter', [...enter, ...command], {
      env: { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
      maxBuffer: 16 * 1024 * 1024,
      timeout: 180_000
    })
    let [stdout, stderr] = ['', '']
    child.stdout?.on('data', (text: string) => (stdout += text))
    child.stderr?.on('data', (text: string) => (stderr += text))
    child.stdin?.end()
    const [code] = await once(child, 'close')
    return { code, stdout, stderr }
  }

  async close(): Promise<void> {
    if (this.#outer.exitCode === null && this.#outer.signalCode === null) {
      this.#outer.kill('SIGKILL')
      await once(this.#outer, 'close')
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Its first process as this machine numbers it. */
  #init(): number | null {
    let [pid] = childrenOf(this.#outer.pid)
    while (pid !== undefined) {
      if (nameOf(pid) === 'systemd') return pid
      ;[pid] = childrenOf(pid)
    }
    return null
  }
}

function childrenOf(pid: number | undefined): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return text === '' ? [] : text.split(' ').map(Number)
  } catch {
    return []
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}

/** Its own layer lies in memory, and stays over reboots. */
const OUTER = `set -eu
mount --make-rprivate /
mount -t tmpfs -o size=2G tmpfs "$LAB"
mkdir "$LAB/own" "$LAB/work" "$LAB/root"`

const UNSHARE = 'unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup'

/** A machine of its own, without the journal, the services and the timers of this one. */
const INNER = (binds: string): string => `set -eu
R=$LAB/root
mount -t overlay overlay -o lowerdir=/,upperdir=$LAB/own,workdir=$LAB/work $R
bind() { mkdir -p "$R$2"; mount --bind "$1" "$R$2"; }
${binds}
mount -t proc proc $R/proc
mount -t sysfs sysfs $R/sys
mount -t cgroup2 cgroup2 $R/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $R/run
mount -t tmpfs -o mode=1777 tmpfs $R/tmp
mount -t tmpfs -o mode=755 tmpfs $R/dev
for name in null zero full random urandom tty; do : > $R/dev/$name; mount --bind /dev/$name $R/dev/$name; done
mkdir $R/dev/pts $R/dev/shm $R/run/old
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts $R/dev/pts
mount -t tmpfs -o mode=1777 tmpfs $R/dev/shm
ln -s pts/ptmx $R/dev/ptmx
ln -s /proc/self/fd $R/dev/fd
cd $R
pivot_root . run/old
umount -l /run/old
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null systemd.unit=multi-user.target`
