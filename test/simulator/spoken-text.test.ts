import t from 'tap'
import { lastWords, lastWordsOf } from '../../src/simulator/spoken-text.ts'

t.test('lastWords()', async (t) => {
  t.test('are not what OpenClaw adds behind the prompt', async (t) => {
    const added =
      'Runtime: agent=main | host=vm\n\n<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\ndata:\n\nnone\n' +
      '<<<END_OPENCLAW_INTERNAL_CONTEXT>>>'
    t.equal(lastWords(`call tool f\n\n${added}`), 'call tool f')
  })

  t.test('leaves out what clients and gateways put around a prompt', async (t) => {
    const content =
      'A system prompt that mentions <system-reminder> tags.\n<system-reminder>\nold\n' +
      '</system-reminder><system-reminder>\nnew\n</system-reminder>\ncall tool f'
    t.equal(lastWords(content), 'call tool f')
  })

  t.test('are not the system messages that Claude Code sends behind the prompt', async (t) => {
    const environment =
      '# Environment\nYou have been invoked in the following environment: \n - Platform: linux\n\n' +
      'The following skills are available:\n\n- run: Launch it.\n\nThe date is 2026-12-01.'
    const reminder = '<system-reminder>\nAttribution\n</system-reminder>\n'
    t.equal(lastWords(`System.\n\n# Memory\n\nNone.\n\n${reminder}Hi.\n${environment}`), 'Hi.')
    t.equal(lastWords(`System.\n\n${environment}\n\n${reminder}Hi.`), 'Hi.', 'in older ones')
    const lists =
      'Available agent types for the Agent tool:\n- claude: For all.\n\nWhen you launch several, do it at once.\n\n' +
      'The following skills are available for use with the Skill tool:\n\n- deep-research: Search.'
    const older = `System.\n\n# Harness\n - Be brief.\n\n${environment}\n\n${reminder}\nHi.\n${lists}`
    t.equal(lastWords(older), 'Hi.', 'in 2.1.197, with lists behind it')
    for (const addition of [
      '## Exited Plan Mode\n\nYou have exited plan mode.',
      'Plan mode is active. The user indicated …\n\nNOTE: Ask.',
      'While auto mode is active:\n\nDo much.',
      'The following deferred tools are now available.\n\n- dataviz: Read it.'
    ]) {
      t.equal(lastWords(`Go on.\n${addition}`, 2), 'Go on.')
    }
    t.equal(lastWords('First.\n# A heading\n\nHi.'), 'Hi.', 'a system text in a first turn')
  })

  t.test('of a prompt that is repeated are those of its own turn', async (t) => {
    const content = 'System.\n\n# Tools\n\nUse them.\n\nuse tool f sim:rounds=3'
    const none = { message: {}, context: {}, images: [], documents: [], tools: [], toolResults: [] }
    const turn = { role: 'user' as const, content, ...none }
    const answer = { role: 'assistant' as const, content: 'Done.', message: {}, toolUses: [] }
    t.equal(lastWordsOf({ history: [turn, answer], current: turn }), 'use tool f')
    const later = { ...turn, content: 'Go on.\n# Added' }
    t.equal(lastWordsOf({ history: [turn, answer], current: later }), 'Go on.')
  })

  t.test('keeps the HTML that a file is to have', async (t) => {
    const prompt = 'use tool write with {"text":"<p>Hello <b>you</b></p>"}'
    t.equal(lastWords(`<thinking_mode>enabled</thinking_mode>${prompt}`), prompt)
  })

  t.test('is the last paragraph, without control words', async (t) => {
    t.equal(lastWords('First.\n\nSecond. sim:gap=0'), 'Second.')
  })

  t.test('is all there is when everything is in a block', async (t) => {
    const content = '<user_query>call tool f</user_query>'
    t.equal(lastWords(content), content)
  })
})
