import t from 'tap'
import { imageOfBase64, imageOfUrl } from '../../../src/dialects/request/images.ts'
import { PlacedRepairs } from '../../../src/kiro/rules/repairs.ts'
import { convert, refusalOf } from '../../helper/convert.ts'

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAA='
const HEADS = {
  png: PNG,
  jpeg: '/9j/4AAQSkZJRgABAQAAAQAB',
  gif: 'R0lGODlhAQABAIAAAAAAAP//',
  webp: 'UklGRiQAAABXRUJQVlA4IBgA'
} as const
const BMP = Buffer.from(`BM${'\0'.repeat(40)}`).toString('base64')
const SVG = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>').toString('base64')

t.test('the type of an image is that of its first bytes', async (t) => {
  for (const [format, head] of Object.entries(HEADS)) {
    for (const claimed of ['image/png', 'image/jpeg', 'image/gif', 'image/webp']) {
      const repairs = new PlacedRepairs()
      t.equal(imageOfBase64(claimed, head, { path: 'p', repairs }).format, format)
      const isRight = claimed === `image/${format}`
      t.same(repairs.codes, isRight ? [] : ['image-type-corrected'], `${claimed} for ${format}`)
      const url = `data:${claimed};base64,${head}`
      t.equal(imageOfUrl(url, { path: 'p', repairs: new PlacedRepairs() }).format, format)
    }
  }
})

t.test('an image that the upstream cannot read is refused', async (t) => {
  for (const data of [BMP, SVG, 'AAAA', 'QUJD', 'iVBOR'])
    t.match(refusalOf('anthropic-messages', anthropic([block(PNG), block(data)])), {
      code: 'GW_BODY_INVALID',
      rule: 'image-format',
      param: 'messages[0].content[1].source',
      message: /not a PNG, JPEG, GIF or WebP/
    })
})

t.test('it is refused by name of its place, wherever it stands', async (t) => {
  const url = `data:image/png;base64,${BMP}`
  const image_url = { type: 'image_url', image_url: { url } }
  const input_image = { type: 'input_image', image_url: url }
  const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }
  const on = { role: 'user', content: 'on' }
  const said = { role: 'assistant', content: 'Well.' }
  const use = { role: 'assistant', content: [{ type: 'tool_use', id: 'c1', name: 'f', input: {} }] }
  const result = { type: 'tool_result', tool_use_id: 'c1', content: [block(BMP)] }
  const output = { type: 'function_call_output', call_id: 'c1', output: [input_image] }
  for (const [dialect, messages, param] of [
    ['anthropic-messages', [user([block(BMP)]), said, on], 'messages[0].content[0].source'],
    [
      'anthropic-messages',
      [on, use, user([result]), said, on],
      'messages[2].content[0].content[0].source'
    ],
    ['openai-chat', [user([image_url]), said, on], 'messages[0].content[0].image_url.url'],
    [
      'openai-chat',
      [
        on,
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c1', content: [image_url] },
        said,
        on
      ],
      'messages[2].content[0].image_url.url'
    ],
    ['openai-responses', [user([input_image]), said, on], 'input[0].content[0].image_url'],
    [
      'openai-responses',
      [on, { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{}' }, output, said, on],
      'input[2].output[0].image_url'
    ]
  ] as const) {
    const member = dialect === 'openai-responses' ? 'input' : 'messages'
    t.match(
      refusalOf(dialect, { model: 'auto', max_tokens: 10, [member]: messages }),
      { code: 'GW_BODY_INVALID', rule: 'image-format', param },
      `${dialect} ${param}`
    )
  }
})

t.test('base64 arrives without white space, padded', async (t) => {
  const wrapped = PNG.replace(/(.{8})/g, '$1\r\n')
  for (const data of [wrapped, ` ${PNG}\n`, PNG.replace('=', ''), `data:image/png;base64,${PNG}`]) {
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data } }
    const { current } = convert('anthropic-messages', {
      model: 'auto',
      messages: [{ role: 'user', content: [image] }]
    })
    t.equal(current.images?.[0]?.source.bytes, PNG)
  }
  for (const data of ['====', `${PNG}*`, `${PNG} *`, `=${PNG}`, ' \n ', '']) {
    t.throws(
      () => imageOfBase64('image/png', data, { path: 'p', repairs: new PlacedRepairs() }),
      {
        message: /^p: the image is (?:not base64|empty)$/
      },
      data
    )
  }
})

function block(data: string): object {
  return { type: 'image', source: { type: 'base64', media_type: 'image/png', data } }
}

function user(content: unknown): object {
  return { role: 'user', content }
}

function anthropic(content: unknown): object {
  return { model: 'auto', messages: [user(content)] }
}
