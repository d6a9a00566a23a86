import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { commandNames } from '../../src/cli/program/commands.ts'
import { runCommandHere } from '../helper/command-here.ts'

async function scriptFor(shell: string): Promise<string> {
  const { code, stdout } = await runCommandHere(['completion', shell], { cwd: '/' })
  t.equal(code, 0)
  return stdout
}

function has(shell: string): { readonly skip: string | false } {
  return { skip: spawnSync(shell, ['-c', ':']).status === 0 ? false : `there is no ${shell}` }
}

t.test('bash completes commands, actions, clients and options', has('bash'), async (t) => {
  const script = await scriptFor('bash')
  const complete = (...words: readonly string[]): readonly string[] => {
    const run = `${script}
COMP_WORDS=(kiro-gateway ${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${words.length}
_kiro_gateway
printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', run], { encoding: 'utf8' })
    t.equal(stderr, '')
    return stdout.trim().split('\n')
  }
  t.same(complete('lo'), ['login', 'logout'])
  for (const name of commandNames()) t.ok(complete(name.slice(0, 2)).includes(name), name)
  t.ok(
    ['revoke', 'reopen', 'rotate'].every((verb) => complete('key', verb.slice(0, 3)).includes(verb))
  )
  t.same(complete('key', 'add', '--cr'), ['--credits'])
  t.same(complete('setup', 'cl'), ['claude', 'cline'])
  t.same(complete('--help', 'se'), ['setup', 'service', 'settings'])
  t.same(complete('fleet', 'st'), ['status'])
  t.same(complete('service', 'st'), ['start', 'stop', 'status'])
  t.same(complete('completion', 'z'), ['zsh'])
})

t.test('fish completes them, too', has('fish'), async (t) => {
  const cwd = t.testdir({ home: {}, 'script.fish': await scriptFor('fish') })
  const complete = (line: string): string => {
    const run = ['-c', `source script.fish; complete -C '${line}'`]
    const env = { PATH: process.env['PATH'], HOME: join(cwd, 'home') }
    const { stdout, stderr } = spawnSync('fish', run, { cwd, env, encoding: 'utf8' })
    t.equal(stderr, '')
    return stdout
  }
  t.match(complete('kiro-gateway lo'), /^login\tSigns in .*\nlogout\t/)
  t.match(complete('kiro-gateway setup cl'), /^claude\b.*\ncline\b/)
  t.match(complete('kiro-gateway key add --cr'), /^--credits\b/)
})

t.test('zsh loads its script', has('zsh'), async (t) => {
  const cwd = t.testdir({ home: {}, 'script.zsh': await scriptFor('zsh') })
  const run = 'source ./script.zsh && print -r -- $_comps[kiro-gateway]'
  const env = { PATH: process.env['PATH'], HOME: join(cwd, 'home'), ZDOTDIR: join(cwd, 'home') }
  const { stdout, stderr } = spawnSync('zsh', ['-fc', run], { cwd, env, encoding: 'utf8' })
  t.same([stdout, stderr], ['_kiro_gateway\n', ''])
})

t.test('each script has every command', async (t) => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const script = await scriptFor(shell)
    for (const name of commandNames())
      t.match(script, new RegExp(`\\b${name}\\b`), `${shell} ${name}`)
    t.match(script, '--overage')
  }
  t.match(await runCommandHere(['completion', 'tcsh'], { cwd: '/' }), {
    code: 2,
    stderr: /expected one shell: bash, zsh, fish/
  })
})
