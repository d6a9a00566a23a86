import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import t from 'tap'
import { LOGIN_SECRETS, loginRig } from '../../helper/login-rig.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('kiro-gateway login, through the browser', async (t) => {
  const LINK = /(https:\/\/app\.kiro\.dev\/\S+)/

  await t.test('hears the browser that comes back, and no other', async (t) => {
    const { services, kept, start, read } = await loginRig(t)
    const cli = start(['--provider=google', '--callback-port=0'])
    const [, link = ''] = await cli.says(LINK)
    const address = services.browse(link)
    const origin = new URL(address).origin
    const wrong = await fetch(address.replace(/state=.*/, 'state=guessed'))
    t.equal(wrong.status, 400)
    t.equal((await fetch(`${origin}/favicon.ico`)).status, 400)
    t.equal((await fetch(address, { method: 'POST' })).status, 404)
    t.equal(services.calls.length, 0, 'and asks for no tokens')
    const page = await fetch(address)
    t.equal(page.status, 200)
    t.match(await page.text(), /<h1>Signed in<\/h1>/)
    const { code, stdout, stderr } = await cli.ended
    t.same([code, stderr], [0, ''])
    t.match(stdout, `Signed in with Google. The sign-in is stored in ${kept}.`)
    t.notMatch(stdout, LOGIN_SECRETS)
    t.match(read(), {
      authMethod: 'social',
      provider: 'Google',
      accessToken: 'access-token-1',
      profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SOCIAL'
    })
  })

  await t.test('takes a pasted address, however often another was pasted before', async (t) => {
    const { services, start, read } = await loginRig(t)
    const cli = start(['--provider=github', '--paste'])
    const [, link = ''] = await cli.says(LINK)
    cli.type('what?')
    await cli.says(/That address does not work/)
    cli.type('')
    cli.type(services.browse(link, 'github'))
    t.match(await cli.ended, { code: 0, stdout: /Signed in with GitHub/ })
    t.match(read(), { provider: 'Github' })
    t.equal(
      services.calls[0]?.body['redirect_uri'],
      'http://localhost:3128/oauth/callback?login_option=github'
    )
  })

  await t.test('says in terminal and browser that the code was not taken', async (t) => {
    const { services, kept, start } = await loginRig(t)
    const cli = start(['--provider=google', '--callback-port=0', '--json'])
    const [, link = ''] = await cli.says(/"url":"([^"]+)"/)
    services.replies.push({ status: 401, body: { message: 'Bad credentials' } })
    const page = await fetch(services.browse(link))
    t.equal(page.status, 502)
    const { code, stdout } = await cli.ended
    t.equal(code, 1)
    t.match(stdout, /"error":\{"code":"GW_UPSTREAM_AUTH"/)
    t.notOk(existsSync(kept))
  })

  await t.test('ends where nothing can come back', async (t) => {
    const { start } = await loginRig(t)
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    t.teardown(() => taken.close())
    const address = taken.address()
    const port = typeof address === 'object' ? address?.port : null
    const { code, stderr } = await start(['--provider=google', `--callback-port=${port}`]).ended
    t.equal(code, 2)
    t.match(stderr, new RegExp(`port ${port}, .* is in use: .*--paste`))
    const cli = start(['--provider=google', '--paste'])
    await cli.says(LINK)
    cli.child.stdin.end()
    t.match(await cli.ended, { code: 2, stderr: /standard input has ended/ })
  })

  await t.test('ends with Ctrl-C at once', async (t) => {
    const { start } = await loginRig(t)
    for (const args of [['--callback-port=0'], ['--paste']]) {
      const cli = start(['--provider=google', ...args])
      await cli.says(LINK)
      cli.child.kill('SIGINT')
      t.match(await cli.ended, { code: 130 })
    }
  })
})
