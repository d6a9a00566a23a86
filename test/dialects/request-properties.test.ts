import t from 'tap'
import { hostileRequests, MARKER } from '../helper/hostile-requests.ts'
import { testRequests } from '../helper/request-properties.ts'

t.setTimeout(240_000) // tens of thousands of cases, on a machine that may be busy

for (const [dialect, body] of hostileRequests) {
  t.test(`any ${dialect} conversation`, async (t) => {
    testRequests(t, { dialect, body, markersOf })
  })
}

interface OfferedTool {
  readonly name?: string
  readonly function?: { readonly name: string }
}

/** Every marker that must arrive; descriptions of tools that are not offered need not. */
function markersOf(request: object): readonly string[] {
  const { tools = [], ...rest } = request as { tools?: readonly OfferedTool[] }
  const isOffer = !/"tool_choice":("none"|\{"type":"none"\})/.test(JSON.stringify(request))
  const seen = new Set<unknown>()
  const offered = (isOffer ? tools : []).filter((tool) => {
    const name = tool.name ?? tool.function?.name
    return !seen.has(name) && seen.add(name)
  })
  return JSON.stringify([rest, offered]).match(MARKER) ?? []
}
