import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { offerBrowser, openerFor } from '../../../src/cli/login/open-browser.ts'
import { ProcessTerminal } from '../../../src/cli/terminal.ts'

const URL = 'https://view.awsapps.com/start/#/device?user_code=ABCD-EFGH'

t.test('openerFor() finds what opens a link here, if there is a screen', async (t) => {
  const opener = (platform: string, env = {}) => openerFor(URL, { platform, env })
  t.same(opener('darwin'), { program: 'open', args: [URL] })
  t.match(opener('win32'), { program: 'rundll32', args: [/FileProtocolHandler$/, URL] })
  t.equal(opener('linux'), null)
  t.same(opener('linux', { DISPLAY: ':0' }), { program: 'xdg-open', args: [URL] })
  t.same(opener('linux', { WAYLAND_DISPLAY: 'wayland-0' }), { program: 'xdg-open', args: [URL] })
  t.equal(opener('linux', { DISPLAY: 'localhost:10.0', SSH_CONNECTION: 'x' }), null)
})

t.test('the offer stays while the time that is left is written over below it', async (t) => {
  const isTTY = { isTTY: true, columns: 80 }
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const streams = {
    stdin: Object.assign(stdin, isTTY),
    stdout,
    stderr: Object.assign(stderr, isTTY)
  }
  using terminal = new ProcessTerminal(streams, new AbortController().signal, {
    program: 'kiro-gateway',
    isJson: false
  })
  const offered = offerBrowser({ terminal, env: { DISPLAY: ':0' } }, URL)
  for (const left of ['10:00 left', '9:59 left']) terminal.progress(left)
  stdin.end() // no answer: nothing is opened
  await offered
  stderr.end()
  t.match(await text(stderr), /^Press Enter to open it in the browser\.\n[^\n]*9:59 left/)
})
