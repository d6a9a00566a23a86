import { writeFileSync } from 'node:fs'
import { createGenerator } from 'ts-json-schema-generator'

/** Writes the JSON schema of `AnswerTypes`, in which members that no type has are forbidden. */
const [types, output] = process.argv.slice(2)
writeFileSync(
  'tsconfig.json',
  JSON.stringify({
    compilerOptions: { strict: true, module: 'nodenext', skipLibCheck: true, types: [] },
    files: [types]
  })
)
const generator = createGenerator({
  path: types,
  tsconfig: 'tsconfig.json',
  skipTypeCheck: true,
  additionalProperties: false,
  jsDoc: 'none',
  expose: 'all'
})
writeFileSync(output, JSON.stringify(generator.createSchema('AnswerTypes')))
