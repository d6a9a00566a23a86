import { policyOf, readDescription, send, sendPage, withAddress } from './description-routes.ts'
import { DocPages, INDEX, LLMS } from './doc-pages.ts'
import { Markup, markup } from './markup.ts'
import type { Route, RoutedRequest } from './router.ts'

/**
 * Guides and reference, as they are for programs (`NAME.md`, `llms.txt`) and as HTML, with the address of the one who asks in their
 * examples. They need what the description of the API needs: their text is not secret, but what strangers leave unread
 * takes memory.
 */
export function docRoutes(): readonly Route[] {
  const pages = new DocPages()
  const servePage = async (routed: RoutedRequest, page: string): Promise<void> => {
    const body = await pages.body(page)
    const { page: description } = await readDescription()
    const [style = ''] = /<style>.*?<\/style>/s.exec(description) ?? []
    const whole = frame(page, style, body)
    sendPage(routed, whole, policyOf(whole))
  }
  const serveText = async (routed: RoutedRequest, page: string): Promise<void> => {
    const text = withAddress(await pages.markdown(page), routed)
    const type = page === LLMS ? 'text/plain' : 'text/markdown'
    send(routed, Buffer.from(text), { 'content-type': `${type}; charset=utf-8` })
  }
  const serve = async (routed: RoutedRequest, folder: string): Promise<void> => {
    const { page = '' } = routed.params
    if (page.endsWith('.md')) await serveText(routed, `${folder}/${page}`)
    else await servePage(routed, `${folder}/${page}.md`)
  }
  return [
    route('/llms.txt', (routed) => serveText(routed, LLMS)),
    route('/docs/guides', (routed) => servePage(routed, INDEX)),
    route('/docs/:page', (routed) => serve(routed, 'docs')),
    route('/docs/guides/:page', (routed) => serve(routed, 'docs/guides'))
  ]
}

function route(path: string, serve: Route['serve']): Route {
  return { method: 'GET', path, isForSignedIn: true, serve }
}

/** Puts the body of a page between what all of them have; the style is that of the description of the API. */
function frame(page: string, style: string, body: string): string {
  const up = page.startsWith('docs/guides/') ? '../../' : '../'
  const [, title = ''] = /<h1[^>]*>(.*?)<\/h1>/s.exec(body) ?? []
  return `<!doctype html>\n${
    markup`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${new Markup(title.replaceAll(/<[^>]*>/g, ''))} – kiro-gateway</title>
<link rel="icon" href="data:,">
${new Markup(style)}
</head>
<body class="page">
<a class="skip" href="#content">Skip to the text</a>
<header><p><a href="${up}">Dashboard</a> · <a href="${up}docs/guides">Guides and reference</a> · <a href="${up}docs">API</a></p><p><a href="${up}${page}">Markdown</a></p></header>
<main id="content">
${new Markup(body)}</main>
</body>
</html>
`.text
  }`
}
