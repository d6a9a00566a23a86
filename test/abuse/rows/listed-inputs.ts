import type { AbuseRow } from '../row.ts'

/** As many as are listed of one response. */
const Items = 32_000
const AtOnce = 60
const Pages = 600

/** What a response was asked with may be tens of thousands of items: a page of them must hold nobody up. */
export const row: AbuseRow = {
  name: 'listed-inputs',
  what: `${Pages} pages of a stored input of ${Items} items, ${AtOnce} at once`,
  async attack({ url, key }) {
    const call = async (path: string, input?: readonly object[]): Promise<Listed> => {
      const response = await fetch(`${url}/v1/responses${path}`, {
        method: input === undefined ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        ...(input !== undefined && { body: JSON.stringify({ model: 'auto', input }) })
      })
      if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
      return (await response.json()) as Listed
    }
    const input = Array.from({ length: Items }, (_, index) => ({
      role: 'user',
      content: `${index}`
    }))
    const { id = '' } = await call('', input)
    const list = `/${id}/input_items?order=asc`
    const { last_id: after } = await call(list)
    let left = Pages
    const listOn = async (): Promise<void> => {
      while (left-- > 0) await call(`${list}&after=${after}`)
    }
    await Promise.all(Array.from({ length: AtOnce }, listOn))
    return `all ${Pages} pages were answered`
  }
}

interface Listed {
  readonly id?: string
  readonly last_id?: string
}
