import { Dialects } from '../../../../src/dialects/dialect.ts'
import { inJson, inPath, inQuery, pathsOf } from '../client-api.ts'
import { oneOf } from '../json-schema.ts'
import type { Operation, Parameter } from '../operation.ts'

const ID = inPath(
  'id',
  'The `id` of a response of the same key.',
  'resp_00000000000000000000000000000000'
)

const PAGE: readonly Parameter[] = [
  inQuery('after', 'The id of the item behind which the page begins.', { type: 'string' }),
  inQuery('limit', 'How many items, 20 if left out.', {
    type: 'integer',
    minimum: 1,
    maximum: 100
  }),
  inQuery('order', 'The newest first (`desc`) if left out.', oneOf(['asc', 'desc']))
]

const STORED = {
  tag: 'Stored responses',
  access: 'key',
  errors: 'openai-responses',
  errorPlaces: ['any', 'key', 'body', 'counted', 'waiting', 'stored'],
  parameters: [ID]
} as const

/** What can be done with a stored response. */
export const STORED_OPERATIONS: readonly Operation[] = [
  {
    ...STORED,
    ...pathOf('/{id}'),
    id: 'getResponse',
    method: 'get',
    summary: 'Read a stored response',
    description: 'In one piece: `stream=true` is refused.',
    answers: inJson(['Response'], 'The response.')
  },
  {
    ...STORED,
    ...pathOf('/{id}'),
    id: 'deleteResponse',
    method: 'delete',
    summary: 'Delete a stored response',
    description: 'With its input. Conversations that went on from it can be gone on with no more.',
    answers: inJson(['DeletedResponse'], 'It is deleted.')
  },
  {
    ...STORED,
    ...pathOf('/{id}/input_items'),
    id: 'listInputItems',
    method: 'get',
    summary: "List a stored response's input",
    description: 'The input of its request, without the responses that it went on from.',
    parameters: [ID, ...PAGE],
    answers: inJson(['InputItemList'], 'A page of them.')
  },
  {
    ...STORED,
    ...pathOf('/{id}/cancel'),
    id: 'cancelResponse',
    method: 'post',
    summary: 'Cancel a background response',
    description:
      'Always refused: there are no background responses. Close the connection to end an answer.',
    answers: []
  }
]

function pathOf(rest: string): Pick<Operation, 'path' | 'aliases'> {
  return pathsOf(Dialects['openai-responses'].paths.map((path) => path + rest))
}
