import { execFile } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { OtlpReceiver } from '../helper/otlp-receiver.ts'
import { askForPage, WHOLE_PAGE } from '../helper/page-parts.ts'
import { bundledProgram } from '../helper/program.ts'
import { smallPdf } from '../helper/small-pdf.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')
const KEY = 'the-key-of-this-test'
const folder = t.testdir()
/** Laid out as in the image. */
const { entry } = bundledProgram()
const image = join(dirname(entry), '..')
const env = { PATH: [dirname(process.execPath), process.env['PATH'] ?? ''].join(':'), HOME: folder }

function pageFiles(root: string): readonly string[] {
  return globSync('**/*.{html,css,svg}', { cwd: root }).toSorted()
}

/** What of Node is loaded once a file has been. */
async function loadedWith(file: string): Promise<string> {
  const load = `await import('${file}'); process.stdout.write(process.moduleLoadList.join('\\n'))`
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', load]
  return (await run(process.execPath, args, { cwd: folder, env })).stdout
}

async function type(...words: readonly string[]): Promise<string> {
  return (await run(process.execPath, [entry, ...words], { cwd: folder, env })).stdout
}

t.test('the bundle is a few files', async (t) => {
  const files = globSync('**/*.js', { cwd: join(image, 'dist'), exclude: ['dashboard/**'] })
  t.ok(files.length < 200, `${files.length} files`)
  for (const name of files) {
    const text = readFileSync(join(image, 'dist', name), 'utf8')
    t.notMatch(text, /[^\0-\xff]/, `${name} takes one byte a character`)
    t.notMatch(text, /\brequire\(["']\./, `${name} has in it what it requires`)
    t.notMatch(text, /^import .* from ["']node:/m, `${name} takes of Node what it names`)
    for (const [, path = ''] of text.matchAll(/new URL\('([^']+)', import\.meta\.url\)/g))
      t.ok(existsSync(join(image, 'dist', dirname(name), path)), `${path} beside ${name}`)
  }
  const pages = pageFiles(join(ROOT, 'src/dashboard/page'))
  t.ok(pages.length > 0)
  t.same(
    pageFiles(join(image, 'dist/dashboard/page')),
    pages,
    'beside the page, which is as it was'
  )
})

t.test('the whole program loads neither a second undici nor HTTP/2', async (t) => {
  const heavy = /internal\/deps\/undici|internal\/http2\/core/
  t.match(await loadedWith(join(ROOT, 'src/warm-up.ts')), heavy, 'unlike its modules')
  t.notMatch(await loadedWith(join(image, 'dist/warm-up.js')), heavy)
})

t.test('the bundle serves', async (t) => {
  const gateway = new GatewayProcess({
    envFile: { PROXY_API_KEY: KEY, NATIVE_DOCUMENTS: 'false', TRANSFORM_TIMEOUT: '60' }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const ask = async (content: unknown, stream = false): Promise<string> => {
    const body = JSON.stringify({
      model: 'claude-haiku-4.5',
      stream,
      messages: [{ role: 'user', content }]
    })
    const url = `${gateway.url}/v1/chat/completions`
    return (await fetch(url, { method: 'POST', headers, body })).text()
  }
  t.match(await ask('sim:say="small"'), '"small"')
  t.match(await ask('sim:say="streamed"', true), /streamed[\s\S]*data: \[DONE\]\n\n$/)
  t.match(await ask(`${'long '.repeat(60_000)} sim:say="large"`), '"large"', 'through a thread')
  const data = smallPdf(['sim:say="out of a PDF"']).toString('base64')
  const file = { filename: 'a.pdf', file_data: `data:application/pdf;base64,${data}` }
  t.match(await ask([{ type: 'file', file }]), '"out of a PDF"', 'with a library that was left out')
  const metrics = await fetch(`${gateway.url}/metrics`, { headers })
  t.match(await metrics.text(), '# TYPE')
  t.same(await askForPage(gateway.url), WHOLE_PAGE, 'the dashboard')
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exited, 0)
  t.equal(gateway.stderr.includes('rror'), false, gateway.stderr)
})

t.test('the bundle describes itself, and traces', async (t) => {
  const otlp = await new OtlpReceiver().start(t)
  const gateway = new GatewayProcess({
    envFile: { OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  t.match(await (await fetch(`${gateway.url}/openapi.json`)).json(), { openapi: /^3\.1/ })
  t.match(await (await fetch(`${gateway.url}/docs`)).text(), '</html>')
  const body = { model: 'claude-haiku-4.5', messages: [{ role: 'user', content: 'hi' }] }
  const url = `${gateway.url}/v1/chat/completions`
  t.equal((await fetch(url, { method: 'POST', body: JSON.stringify(body) })).status, 200)
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exited, 0)
  t.same(otlp.problems, [])
  t.same(
    otlp.spans.map(({ kind }) => kind).toSorted((a, b) => a - b),
    [2, 3]
  )
})

t.test('its commands run', async (t) => {
  const request = { model: 'auto', messages: [{ role: 'user', content: 'hi' }] }
  const file = join(t.testdir({ 'request.json': JSON.stringify(request) }), 'request.json')
  t.equal(await type('lint', file), 'openai-chat: nothing to say\n')
  for (const command of ['doctor', 'key', 'login', 'setup', 'top', 'usage', 'whoami'])
    t.match(await type(command, '--help'), `kiro-gateway ${command}`)
})
