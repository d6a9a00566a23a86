import t from 'tap'
import { familyOf } from '../../../src/kiro/tokens/request-tokens.ts'
import { imageSizeOf } from '../../../src/kiro/tokens/image-size.ts'
import type { ImageFormat } from '../../../src/kiro/wire/payload.ts'
import * as fc from '../../helper/fast-check.ts'

const HEADS: readonly (readonly [name: string, format: ImageFormat, hex: string])[] = [
  ['PNG', 'png', '89504e470d0a1a0a0000000d49484452 00000280 000001e0 08060000'],
  ['GIF', 'gif', '474946383961 8002 e001 f70000'],
  ['WebP, extended', 'webp', '52494646 00000000 57454250 56503858 0a000000 00000000 7f0200 df0100'],
  ['WebP, lossless', 'webp', '52494646 00000000 57454250 5650384c 00000000 2f 7fc27700 0000000000'],
  ['WebP, lossy', 'webp', '52494646 00000000 57454250 56503820 00000000 000000 9d012a 8002 e001'],
  [
    'JPEG',
    'jpeg',
    'ffd8 ffe0 0010 4a46494600010100000100010000 ffc4 0004 0000 ffc2 0011 08 01e0 0280 03'
  ]
]

for (const [name, format, hex] of HEADS) {
  t.test(`${name}: the header says the size`, async (t) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    const base64 = Buffer.concat([bytes, Buffer.alloc(50)]).toString('base64')
    t.same(imageSizeOf(format, base64), { width: 640, height: 480 })
    t.equal(imageSizeOf(format, base64.slice(0, 12)), null, 'one that ends before has none')
  })
}

t.test('anything else has no size, or one that a family can count', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom<ImageFormat>('png', 'jpeg', 'gif', 'webp'),
      fc.uint8Array({ maxLength: 100 }),
      fc.constantFrom('claude-opus-5', 'gpt-5.6-sol', 'kimi-k3'),
      (format, bytes, model) => {
        const size = imageSizeOf(format, Buffer.from(bytes).toString('base64'))
        const tokens = size === null ? 1 : familyOf(model).imageTokens(size)
        if (!(tokens > 0 && tokens <= 1600)) throw new Error(`${tokens} tokens`)
      }
    )
  )
})
