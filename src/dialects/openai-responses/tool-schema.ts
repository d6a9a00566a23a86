import { Type } from '../../shared/schema-type.ts'
import { Compile } from 'typebox/schema'
import { OpenObject, optional } from '../body-schema.ts'

const Described = {
  name: Type.String({ minLength: 1 }),
  description: optional(Type.String())
}

/** The tools of a Responses request that its client runs itself. */
export const Tools = {
  any: Compile(Type.Object({ type: optional(Type.String()) })),
  function: Compile(
    Type.Object({
      ...Described,
      parameters: Type.Optional(Type.Unknown()),
      input_schema: Type.Optional(Type.Unknown())
    })
  ),
  custom: Compile(
    Type.Object({
      ...Described,
      format: optional(
        Type.Object({
          type: optional(Type.String()),
          syntax: optional(Type.String()),
          definition: optional(Type.String())
        })
      )
    })
  ),
  namespace: Compile(Type.Object({ ...Described, tools: optional(Type.Array(OpenObject)) })),
  search: Compile(
    Type.Object({
      description: optional(Type.String()),
      execution: optional(Type.String()),
      parameters: Type.Optional(Type.Unknown())
    })
  )
} as const
