import t from 'tap'
import { openerFor } from '../../../src/cli/login/open-browser.ts'

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
