import { Type } from '../shared/schema-type.ts'
import { Compile } from 'typebox/schema'
import { Content, OpenObject, optional } from './body-schema.ts'

/** The blocks that messages of any dialect are made of; what else they hold is not looked at. */
export const Blocks = {
  text: Compile(Type.Object({ text: Type.String() })),
  refusal: Compile(Type.Object({ refusal: Type.String() })),
  imageUrl: Compile(
    Type.Object({
      image_url: Type.Union([Type.String(), Type.Object({ url: Type.String() })])
    })
  ),
  image: Compile(
    Type.Object({
      source: Type.Object({
        type: Type.String(),
        media_type: optional(Type.String()),
        data: optional(Type.String()),
        url: optional(Type.String())
      })
    })
  ),
  document: Compile(
    Type.Object({
      title: optional(Type.String()),
      context: optional(Type.String()),
      source: Type.Object({
        type: Type.String(),
        media_type: optional(Type.String()),
        data: optional(Type.String()),
        content: Type.Optional(Content)
      })
    })
  ),
  searchResult: Compile(
    Type.Object({
      title: optional(Type.String()),
      source: optional(Type.String()),
      content: Type.Optional(Content)
    })
  ),
  toolUse: Compile(
    Type.Object({
      id: optional(Type.String()),
      name: Type.String({ minLength: 1 }),
      input: Type.Optional(Type.Unknown())
    })
  ),
  toolResult: Compile(
    Type.Object({
      tool_use_id: optional(Type.String()),
      content: Type.Optional(Type.Union([Content, OpenObject])),
      is_error: optional(Type.Boolean())
    })
  ),
  toolReference: Compile(Type.Object({ tool_name: Type.String() }))
} as const
