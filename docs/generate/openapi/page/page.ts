import { STATUS_CODES } from 'node:http'
import { type Description, describeApi } from '../document.ts'
import type { Operation } from '../operation.ts'
import { examplesOf, Operations } from '../operations.ts'
import type { ApiResponse } from '../responses.ts'
import { html, Markup, phrase, prose } from './markup.ts'
import { schemaView } from './schema-view.ts'
import { STYLE } from './style.ts'

/** Where the examples call; a gateway puts its own port in its place. */
const USUAL_ADDRESS = 'http://127.0.0.1:8000'

/** The description as one page of HTML. Its script only adds buttons that run the examples. */
export function describeOnPage(): string {
  const api = describeApi()
  const { title, version } = api.info
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} API</title>
<link rel="icon" href="data:,">
<style>${new Markup(STYLE)}</style>
<script src="dashboard/run-examples.js" type="module"></script>
</head>
<body>
<a class="skip" href="#content">Skip to the description</a>
<header><h1>${title} API <small>${version}</small></h1><p><a href="./">Dashboard</a> · <a href="docs/guides">Guides and reference</a></p></header>
<nav aria-label="Contents">${navView(api)}</nav>
<main id="content">
<section><h2>Overview</h2>${prose(api.info.description)}<p>Base URL of OpenAI clients: <code>${USUAL_ADDRESS}/v1</code>. Of Anthropic clients: <code>${USUAL_ADDRESS}</code>. The examples send <code>$PROXY_API_KEY</code>: put your key there with <code>export PROXY_API_KEY=…</code> Or press Run: the request is then made by this page, as the one who is signed in to the dashboard.</p><p><a href="openapi.json">OpenAPI 3.1 document</a>, for programs.</p></section>
${api.tags.map((tag) => tagView(api, tag))}
<section><details><summary><h2 id="schemas">Schemas</h2></summary>${Object.entries(
    api.components.schemas
  ).map(
    ([name, schema]) =>
      html`<details class="schema"><summary><h3>${name}</h3></summary><div id="${name}">${schemaView(schema)}</div></details>`
  )}</details></section>
</main>
</body>
</html>
`.html
}

function navView(api: Description): Markup {
  const groups = api.tags.map(({ name }) => {
    const links = operationsOf(name).map(
      ({ id, summary }) => html`<li><a href="#${id}">${phrase(summary)}</a></li>`
    )
    return html`<h2>${name}</h2><ul>${links}</ul>`
  })
  return html`${groups}<h2><a href="#schemas">Schemas</a></h2>`
}

function operationsOf(tag: string): readonly Operation[] {
  return Operations.filter((operation) => operation.tag === tag)
}

function tagView(api: Description, { name, description }: Description['tags'][number]): Markup {
  const operations = operationsOf(name).map((operation) => operationView(api, operation))
  const reason = CLOSED[name]
  // Browsers open it for a link into it, and for a search.
  const all =
    reason === undefined
      ? operations
      : html`<details><summary>${reason}</summary>${operations}</details>`
  return html`<section><h2>${name}</h2><p>${phrase(description)}</p>${all}</section>`
}

/** Groups of calls of which few read, and what is said in their place. Closed at first. */
const CLOSED: Readonly<Partial<Record<string, string>>> = {
  'Stored responses': 'Calls for stored responses',
  'Claude Code': 'Claude Code makes these calls',
  Description: 'This description, guides and reference'
} satisfies Partial<Record<Operation['tag'], string>>

const ACCESS = {
  open: 'No key is needed.',
  key: 'Needs a key, where the operator has set keys.',
  operator: "Needs one of the operator's keys, where there are keys."
} as const

function operationView(api: Description, operation: Operation): Markup {
  const { id, method, path, summary, access } = operation
  const described = api.paths[path]?.[method]
  if (described === undefined) throw new Error(`nothing describes ${path}`)
  return html`<article>
<h3 id="${id}">${phrase(summary)}</h3>
<p class="route"><b>${method.toUpperCase()}</b> <code>${path}</code></p>
${prose(described.description)}<p>${ACCESS[access]}</p>
${requestView(operation)}${parametersView(operation)}
<details><summary>Answers</summary>${Object.entries(described.responses).map(([status, response]) => answerView(status, response))}</details>
</article>`
}

function parametersView({ parameters = [] }: Operation): Markup {
  if (parameters.length === 0) return html``
  const rows = parameters.map(
    ({ name, in: place, description }) =>
      html`<dt><code>${name}</code> <span class="type">${place}</span></dt><dd>${phrase(description)}</dd>`
  )
  return html`<details><summary>Parameters</summary><dl>${rows}</dl></details>`
}

function requestView(operation: Operation): Markup {
  const { request } = operation
  if (request === undefined) return commandView(operation, toReadCommand(operation))
  const [first, ...others] = Object.values(examplesOf(operation))
  const folded = others.map(
    ({ summary, value }) =>
      html`<details><summary>${phrase(summary)}</summary>${commandView(operation, toCommand(operation, value))}</details>`
  )
  const shown =
    first === undefined ? html`` : commandView(operation, toCommand(operation, first.value))
  const { schema } = request
  return html`${shown}${folded}<p>Body: <a href="#${schema}">${schema}</a></p>`
}

function commandView(operation: Operation, command: string): Markup {
  const code = html`<code>${command}</code>`
  // Other routes answer pages of their own, or nothing that a page may read with its session.
  return operation.access === 'key' && operation.tag !== 'Description'
    ? html`<pre tabindex="0" data-path="${pathOf(operation)}">${code}</pre>`
    : html`<pre tabindex="0">${code}</pre>`
}

function pathOf({ path, parameters = [] }: Operation): string {
  return path.replace('{id}', parameters.find(({ name }) => name === 'id')?.example ?? '')
}

function toReadCommand(operation: Operation): string {
  const key = operation.access === 'open' ? '' : ' \\\n  -H "authorization: Bearer $PROXY_API_KEY"'
  return `curl ${USUAL_ADDRESS}${pathOf(operation)}${key}`
}

/** As typed into a shell; a quote in JSON text is written so that it ends none of the shell's. */
function toCommand({ path }: Operation, body: object): string {
  const json = JSON.stringify(body, null, 2).replaceAll("'", '\\u0027')
  return `curl ${USUAL_ADDRESS}${path} \\
  -H "authorization: Bearer $PROXY_API_KEY" \\
  -H 'content-type: application/json' \\
  -d '${json}'`
}

function answerView(status: string, { description, headers, content }: ApiResponse): Markup {
  const schemas = Object.entries(content).map(
    ([type, { schema }]) => html`<h4><code>${type}</code></h4>${schemaView(schema)}`
  )
  const names = Object.keys(headers).map((name) => html`<code>${name}</code> `)
  return html`<details><summary><b>${status}</b> ${STATUS_CODES[status] ?? ''}</summary>${prose(description)}${schemas}<p>Headers: ${names}</p></details>`
}
