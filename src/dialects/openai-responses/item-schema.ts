import { Type } from '../../shared/schema-type.ts'
import { Compile } from 'typebox/schema'
import { Content, OpenObject, optional } from '../body-schema.ts'

const Ids = { id: optional(Type.String()), call_id: optional(Type.String()) }

const Named = {
  name: Type.String({ minLength: 1 }),
  namespace: optional(Type.String())
}

/** The items of an input that are looked at closely; what else they hold is not looked at. */
export const Items = {
  any: Compile(Type.Object({ type: optional(Type.String()) })),
  message: Compile(Type.Object({ role: optional(Type.String()), content: Type.Optional(Content) })),
  functionCall: Compile(
    Type.Object({
      ...Ids,
      ...Named,
      /** JSON text; some clients send the object itself. */
      arguments: Type.Optional(Type.Unknown())
    })
  ),
  customCall: Compile(Type.Object({ ...Ids, ...Named, input: optional(Type.String()) })),
  searchCall: Compile(Type.Object({ ...Ids, arguments: Type.Optional(Type.Unknown()) })),
  output: Compile(
    Type.Object({
      ...Ids,
      status: optional(Type.String()),
      output: Type.Optional(Type.Unknown())
    })
  ),
  toolList: Compile(Type.Object({ ...Ids, tools: optional(Type.Array(OpenObject)) })),
  vendorCall: Compile(Type.Object(Ids)),
  reference: Compile(Type.Object({ id: Type.String({ minLength: 1 }) }))
} as const
