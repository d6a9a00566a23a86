import type { Locator, Page } from 'playwright-core'

/** How a person works a page: with a pointer, or with the keyboard alone. */
export interface Hand {
  readonly press: (target: Locator) => Promise<void>
  readonly fill: (target: Locator, text: string) => Promise<void>
  readonly choose: (target: Locator, label: string) => Promise<void>
}

export const POINTER: Hand = {
  press: (target) => target.click(),
  fill: (target, text) => target.fill(text),
  choose: async (target, label) => {
    await target.selectOption({ label })
  }
}

/** The way around the page once. */
const MOST_STOPS = 200

export function keyboardOf(page: Page): Hand {
  /** Goes from stop to stop, as people do who see no pointer. */
  const reach = async (target: Locator): Promise<void> => {
    await target.waitFor()
    for (let stops = 0; stops < MOST_STOPS; stops++) {
      if ((await target.and(page.locator(':focus')).count()) > 0) return
      await page.keyboard.press('Tab')
    }
    throw new Error(`no way by keyboard to ${String(target)}`)
  }
  return {
    press: async (target) => {
      await reach(target)
      await page.keyboard.press('Enter')
    },
    fill: async (target, text) => {
      await reach(target)
      await page.keyboard.press('Control+A')
      await page.keyboard.type(text)
    },
    choose: async (target, label) => {
      await reach(target)
      await page.keyboard.type(label)
    }
  }
}
