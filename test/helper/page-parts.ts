/** What a gateway answers for the page of the dashboard and everything that the page names: `PATH STATUS TYPE`, in order. */
export async function askForPage(url: string): Promise<readonly string[]> {
  const page = await fetch(`${url}/`)
  const html = await page.text()
  const named = [...html.matchAll(/(?:href|src)="(dashboard\/[^"]+)"/g)].map(([, path]) => path)
  const answers = [`/ ${page.status} ${page.headers.get('content-type')}`]
  const seen = new Set<string>()
  for (const path of named) {
    if (path === undefined || seen.has(path)) continue
    seen.add(path)
    const { status, headers } = await fetch(`${url}/${path}`)
    answers.push(`${path} ${status} ${headers.get('content-type')}`)
  }
  return answers
}

/** The same where nothing is wrong with it. */
export const WHOLE_PAGE: readonly string[] = [
  '/ 200 text/html; charset=utf-8',
  'dashboard/icon.svg 200 image/svg+xml',
  'dashboard/uplot.css 200 text/css; charset=utf-8',
  'dashboard/theme.css 200 text/css; charset=utf-8',
  'dashboard/page.css 200 text/css; charset=utf-8',
  'dashboard/controls.css 200 text/css; charset=utf-8',
  'dashboard/parts.css 200 text/css; charset=utf-8',
  'dashboard/tables.css 200 text/css; charset=utf-8',
  'dashboard/theme.js 200 text/javascript; charset=utf-8',
  'dashboard/uplot.js 200 text/javascript; charset=utf-8',
  'dashboard/lit/lit-html.js 200 text/javascript; charset=utf-8',
  'dashboard/lit/directives/guard.js 200 text/javascript; charset=utf-8',
  'dashboard/lit/directives/repeat.js 200 text/javascript; charset=utf-8',
  'dashboard/main.js 200 text/javascript; charset=utf-8'
]
