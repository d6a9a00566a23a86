/* One advice wherever a person needs an operator key. */

/** Way in which a running gateway takes what a command has written into `.env`. */
export const RELOAD =
  'A running gateway takes it without a restart when it reloads its settings: on its page, or by "kill -HUP" to its process.'

/** Source of an operator key. */
export const MAKE_OPERATOR_KEY = `Create an operator key without limits with "kiro-gateway key new --write". ${RELOAD}`
