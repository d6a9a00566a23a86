import assert from 'node:assert/strict'
import t from 'tap'
import { Clients } from '../../../src/cli/setup/clients.ts'
import { type Entry, readValues } from '../../../src/cli/setup/entries.ts'
import { planSetup, planUndo } from '../../../src/cli/setup/file-plan.ts'
import { FallbackModels, type GatewayFacts } from '../../../src/cli/setup/gateway.ts'
import { Json5Text, JsonText } from '../../../src/cli/setup/text/json-text.ts'
import type { TextFormat } from '../../../src/cli/setup/text/text-format.ts'
import { TomlText } from '../../../src/cli/setup/text/toml-text.ts'
import { YamlText } from '../../../src/cli/setup/text/yaml-text.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { type ConfigText, jsonTexts, tomlTexts, yamlTexts } from '../../helper/config-texts.ts'
import * as fc from '../../helper/fast-check.ts'
import { isNightly } from '../../helper/nightly.ts'

const Formats: Readonly<Record<string, readonly [TextFormat, fc.Arbitrary<ConfigText>, string]>> = {
  json: [JsonText, jsonTexts, 'json'],
  json5: [Json5Text, jsonTexts, 'json'],
  toml: [TomlText, tomlTexts, 'toml'],
  yaml: [YamlText, yamlTexts, 'yaml']
}

const GATEWAY: GatewayFacts = {
  url: 'http://127.0.0.1:8000',
  key: 'a-key',
  models: FallbackModels.slice(0, 2),
  wishedModel: 'claude-opus-5.5'
}
const ELSEWHERE: GatewayFacts = {
  ...GATEWAY,
  url: 'https://gateway.example.org',
  models: FallbackModels.slice(1, 3)
}

/** Each file of each client: its format, and what setup writes for a gateway. */
const FILES = Object.entries(Clients).flatMap(([word, client]) =>
  client.files({ folder: '/home/user', env: {} }).map((paths, index) => ({
    name: `${word} ${paths[0].split('/').at(-1)}`,
    format: client.readsJson5 ? 'json5' : (/[^.]*$/.exec(paths[0])?.[0] ?? ''),
    entries: (gateway: GatewayFacts): readonly Entry[] =>
      client.plan(
        gateway,
        paths.map((path) => ({ path, values: {} }))
      ).files[index]?.entries ?? []
  }))
)

t.setTimeout(600_000)

for (const { name, format, entries } of FILES) {
  t.test(`setup and undo of ${name}`, async () => {
    const [text, texts] = Formats[format] ?? [JsonText, jsonTexts]
    let done = 0
    let all = 0
    const property = fc.property(fc.option(texts, { freq: 10 }), (config) => {
      all += 1
      if (passes(text, config, entries)) done += 1
    })
    fc.assert(property, { numRuns: isNightly ? 400 : 40 })
    assert.ok(done > all / 2, `${done} of ${all} texts could be changed`)
  })
}

/** Throws where something is wrong; false where setup refuses the text, because something else is in its place. */
function passes(
  format: TextFormat,
  config: ConfigText | null,
  entries: (gateway: GatewayFacts) => readonly Entry[]
): boolean {
  const current = config?.text ?? null
  const comments = config?.comments ?? []
  let first: ReturnType<typeof planSetup>
  try {
    first = planSetup({ format, current, record: null }, entries(GATEWAY))
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'GW_CLIENT_FILE') return false
    throw error
  }
  const after = textOf(first.after)
  assertComments(after, comments)
  assertSaid(readValues(format, after), entries(GATEWAY))

  const again = planSetup({ format, current: after, record: first.record }, entries(GATEWAY))
  assert.equal(again.after, after, 'a second time changes nothing')
  assert.equal(planUndo({ format, current: after, record: first.record }).after, current, 'undone')

  const moved = planSetup({ format, current: after, record: first.record }, entries(ELSEWHERE))
  assertComments(textOf(moved.after), comments)
  assertSaid(readValues(format, textOf(moved.after)), entries(ELSEWHERE))
  assert.equal(
    planUndo({ format, current: moved.after, record: moved.record }).after,
    current,
    'undone'
  )

  // Somebody adds a comment: what setup wrote is taken out, the comment stays.
  const remark = format === JsonText || format === Json5Text ? '// mine' : '# mine'
  const touched = `${after}${after.endsWith('\n') ? '' : '\n'}${remark}\n`
  const undone = planUndo({
    format,
    current: touched,
    record: moved.record === null ? null : first.record
  })
  assert.deepEqual(undone.kept, [])
  assertComments(undone.after ?? remark, [...comments, remark])
  assert.deepEqual(emptied(undone.after, format), emptied(current, format), 'nothing else is left')
  return true
}

function textOf(text: string | null): string {
  assert.ok(text !== null)
  return text
}

function assertComments(text: string, comments: readonly string[]): void {
  let at = 0
  for (const comment of comments) {
    const found = text.indexOf(comment, at)
    assert.ok(found >= at, `${comment} is in ${text}`)
    at = found + comment.length
  }
}

function assertSaid(values: unknown, entries: readonly Entry[]): void {
  for (const { path, value, isDefault } of entries) {
    const there = path.reduce<unknown>(
      (inner, step) =>
        typeof step === 'string'
          ? Reflect.get(Object(inner), step)
          : (inner as readonly unknown[]).find(
              (one) => Reflect.get(Object(one), step.member) === step.is
            ),
      values
    )
    if (isDefault !== true) assert.deepEqual(there, value, JSON.stringify(path))
  }
}

/** The values of a text; nothing, null and what is empty are the same. */
function emptied(text: string | null, format: TextFormat): unknown {
  const prune = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value
    const kept = Object.entries(value).map(([name, one]) => [name, prune(one)] as const)
    if (kept.length === 0) return null
    return Array.isArray(value) ? kept.map(([, one]) => one) : Object.fromEntries(kept)
  }
  return prune(text === null ? {} : readValues(format, text))
}
