import t from 'tap'
import { RoundReader } from '../../src/dialects/answer/round.ts'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import { type AnswerSink, type AnswerSource, RoundSink } from '../../src/reply/sinks.ts'
import { GatewayError } from '../../src/shared/errors.ts'

class RecordedSink implements AnswerSink {
  hasBegun = false
  readonly calls: unknown[] = []
  readonly attach = (source: AnswerSource): void => void this.calls.push(source)
  readonly whenDrained = async (): Promise<void> => void this.calls.push('when-drained')
  readonly onSent = (): void => void this.calls.push('sent')
  readonly onIdle = (): void => void this.calls.push('idle')
  readonly push = (part: StreamPart): void => void this.calls.push(part)
  readonly flush = (): void => void this.calls.push('flush')
  readonly end = (): void => void this.calls.push('end')
  readonly fail = (error: GatewayError): void => void this.calls.push(error.code)
  readonly dispose = (): void => void this.calls.push('dispose')
}

const usage = { inputTokens: 1, outputTokens: 1 }

t.test('RoundSink', async (t) => {
  t.test('hands on what passes, and never the end of the round', async (t) => {
    const inner = new RecordedSink()
    const jsonForm = { type: 'value' as const }
    const reader = new RoundReader({ jsonForm, dueCall: null, webSearch: null })
    const sink = new RoundSink(inner, reader)
    sink.onSent()
    sink.push({ type: 'reasoning', text: 'hm' })
    sink.push({ type: 'text', text: '1' })
    sink.flush()
    sink.push({ type: 'end', reason: 'stop', usage })
    sink.end()
    t.same(inner.calls, ['sent', { type: 'reasoning', text: 'hm' }, 'flush', 'flush', 'idle'])
    t.equal(reader.report().text, '1')
  })

  t.test('is as far as the client’s sink, and fails with it', async (t) => {
    const inner = new RecordedSink()
    const reader = new RoundReader({ jsonForm: null, dueCall: null, webSearch: null })
    const sink = new RoundSink(inner, reader)
    t.equal(sink.hasBegun, false)
    inner.hasBegun = true
    t.equal(sink.hasBegun, true)
    const source = { pause() {}, resume() {} }
    sink.attach(source)
    await sink.whenDrained(new AbortController().signal)
    sink.onIdle()
    sink.fail(new GatewayError('GW_UPSTREAM_RESET'))
    sink.dispose()
    t.same(inner.calls, [source, 'when-drained', 'idle', 'GW_UPSTREAM_RESET', 'dispose'])
  })
})
