import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startGateway } from '../helper/gateway-process.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')

/** The code blocks of one language in a section of a page. */
function examples(page: string, language: string, heading: string): readonly string[] {
  const [, section = ''] = readFileSync(join(ROOT, page), 'utf8').split(`\n## ${heading}\n`)
  const [text = ''] = section.split('\n## ')
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , code = '']) => code)
}

t.test('the first requests of README and docs/clients.md, run as written', async (t) => {
  const gateway = await startGateway({})
  t.teardown(() => gateway.destroy())
  const here = (code: string): string => code.replaceAll('http://127.0.0.1:8000', gateway.url)

  const shell = examples('README.md', 'sh', 'First request')
  t.equal(shell.length, 2)
  for (const [index, ending] of ['data: [DONE]\n\n', '}'].entries()) {
    const { stdout } = await run('sh', ['-c', here(shell[index] ?? '')])
    t.match(stdout, /simulator/, 'has an answer')
    t.ok(stdout.endsWith(ending), stdout.slice(-200))
  }

  const scripts = examples('docs/clients.md', 'js', 'SDKs')
  t.equal(scripts.length, 2)
  for (const code of scripts) {
    const options = ['--input-type=module', '--eval', here(code)]
    const { stdout } = await run(process.execPath, options, { cwd: ROOT })
    t.match(stdout, /simulator/, 'prints the answer')
  }
})
