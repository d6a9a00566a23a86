/* One advice wherever a person needs an operator key. */

/** Way in which a running gateway takes what a command has written into `.env`. */
export const RELOAD =
  'A running gateway takes it without a restart when it reloads its settings: on its page, or by "kill -HUP" to its process.'

/** Step for clients that were set up while the gateway took any key. */
export const SET_UP_AGAIN =
  'Clients that were set up without a key are refused until you set them up again in this folder: "kiro-gateway setup claude", or codex and so on.'

/** Source of an operator key. */
export const MAKE_OPERATOR_KEY = `Create an operator key without limits with "kiro-gateway key new --write". ${RELOAD}`
