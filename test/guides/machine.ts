import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

/*
 * An empty machine: the files of this one below an overlay in memory, loopback without a way out, and no other process. What is
 * written there goes with it, every port is free, and its root is not the root of anything else.
 */

/** Makes the overlay and steps into it. Arguments: a folder for it, the checkout, and the program with its arguments. */
const ENTER = `
set -e
folder=$1 checkout=$2
shift 2
mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
ip link set lo up
mount --rbind /dev "$folder/root/dev"
mount --rbind /sys "$folder/root/sys"
mount -t proc proc "$folder/root/proc"
mount --bind -o ro "$checkout" "$folder/root$checkout"
exec chroot "$folder/root" "$@"
`

export interface RunResult {
  readonly code: number | null
  readonly output: string
}

/** Runs a program on an empty machine; `folder` of this one can be read there. */
export async function runOnMachine(argv: readonly string[], timeoutMs: number): Promise<RunResult> {
  const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-machine-'))
  const spaces = ['--mount', '--net', '--pid', '--ipc', '--uts', '--fork', '--kill-child']
  const child = spawn('unshare', [...spaces, 'sh', '-c', ENTER, 'sh', folder, ROOT, ...argv], {
    cwd: '/',
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL'
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const [code] = (await once(child, 'close')) as [number | null]
  rmSync(folder, { recursive: true, force: true })
  return { code, output }
}

/** Why there can be no such machine here; false if there can. With GUIDES_REQUIRED its absence is an error. */
export async function whyNoMachine(): Promise<string | false> {
  const { code, output } = await runOnMachine(['true'], 20_000).catch((cause: unknown) => ({
    code: null,
    output: String(cause)
  }))
  if (code === 0) return false
  const why = `an empty machine needs Linux and root (unshare, overlay): ${output.trim()}`
  if (process.env['GUIDES_REQUIRED'] === '1') throw new Error(why)
  return why
}
