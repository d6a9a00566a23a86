/** Shared by the example requests of all client APIs. */
export const MODEL = 'claude-sonnet-5.5'
export const QUESTION = 'How many moons has Mars?'
export const ASKED = 'What is the weather in Ghent?'
export const TOLD = '14 degrees, rain.'
export const DESCRIPTION = 'Tells the weather of a city.'
export const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city']
}
