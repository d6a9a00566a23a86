/** Members that several client APIs have, in the same words. docs/compatibility.md says more, of all members. */
export const SharedWords = {
  model: 'A name of `/v1/models`, an alias, or another spelling of one.',
  tool_choice: '`none`, `auto`, `required`, or the one that must be called.',
  parallel_tool_calls: '`false`: one call in an answer at most.',
  stream: 'Sends the answer as it comes.',
  user: 'Requests of one user about the same share a cache.',
  prompt_cache_key: 'Requests with the same key share a cache.'
} as const
