import { realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { entryOf, programName, toShownText } from '../../src/shared/program-name.ts'

t.test('programName() is what to type to call the program again', async (t) => {
  for (const [entry, cwd, name] of [
    [
      '/home/a/.npm/_npx/0123/node_modules/kiro-gateway/src/start.js',
      '/home/a',
      'npx kiro-gateway'
    ],
    ['/home/a/app/node_modules/kiro-gateway/src/start.js', '/home/a/app', 'npx kiro-gateway'],
    ['/home/a/app/node_modules/kiro-gateway/src/start.js', '/home/a/app/src', 'npx kiro-gateway'],
    ['/usr/lib/node_modules/kiro-gateway/src/start.js', '/home/a', 'kiro-gateway'],
    ['/usr/lib/node_modules/kiro-gateway/src/start.js', '/', 'kiro-gateway'],
    ['/home/a/.nvm/lib/node_modules/kiro-gateway/src/start.js', '/home/a', 'kiro-gateway'],
    ['/home/a/kiro-gateway/src/start.js', '/home/a/kiro-gateway', 'node src/start.js'],
    ['/home/a/kiro-gateway/src/start.js', '/home/a', 'node kiro-gateway/src/start.js'],
    ['/home/a/kiro-gateway/src/start.js', '/home/b', 'node ../a/kiro-gateway/src/start.js'],
    ['/srv/kg/src/start.js', '/home/b/kg/.tap/fixtures', 'node /srv/kg/src/start.js'],
    ['/app/src/start.js', '/app', 'node src/start.js'],
    ['/home/a b/src/start.js', '/home', 'node "a b/src/start.js"']
  ] as const)
    t.equal(programName({ entry, cwd }), name, entry)
})

t.test('entryOf() is the file behind the link that npm installs', async (t) => {
  const folder = realpathSync(t.testdir({ bin: {}, lib: { 'start.js': '' } }))
  symlinkSync(join(folder, 'lib/start.js'), join(folder, 'bin/kiro-gateway'))
  t.equal(entryOf(join(folder, 'bin/kiro-gateway')), join(folder, 'lib/start.js'))
  t.equal(entryOf('/nowhere/start.js'), '/nowhere/start.js')
})

const shown = (text: string): string => toShownText(text, 'npx kiro-gateway')

t.test('toShownText()', async (t) => {
  t.equal(
    shown('Sign in with: kiro-gateway login, then "kiro-gateway setup claude".'),
    'Sign in with: npx kiro-gateway login, then "npx kiro-gateway setup claude".'
  )
  t.equal(
    shown('(or another client), then "kiro-gateway".\nStart it with: kiro-gateway'),
    '(or another client), then "npx kiro-gateway".\nStart it with: npx kiro-gateway'
  )
  for (const same of [
    'npx kiro-gateway setup claude',
    'npx --yes kiro-gateway setup claude', // for another machine
    'the sign-in of kiro-gateway',
    '/home/a/.local/state/kiro-gateway login',
    'docker logs kiro-gateway'
  ])
    t.equal(shown(same), same)
  t.equal(toShownText('kiro-gateway login', 'kiro-gateway'), 'kiro-gateway login')
  t.equal(
    shown('docs/errors.md has each code; see https://example.com/docs/errors.md'),
    'https://github.com/kiro-gateway/kiro-gateway/blob/main/docs/errors.md has each code; see https://example.com/docs/errors.md'
  )
})
