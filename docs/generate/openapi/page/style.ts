/**
 * Style of the page, which stands on its own: from phone to desktop, in light and dark, following the reader's system.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: light-dark(#fff, #16181c);
  --panel: light-dark(#f4f5f7, #202329);
  --ink: light-dark(#1c1e21, #e4e6ea);
  --soft: light-dark(#565c66, #a3aab5);
  --line: light-dark(#d5d9df, #3a3f48);
  --link: light-dark(#0a56b8, #83b8ff);
}
* { box-sizing: border-box }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
a { color: var(--link) }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
:target { background: var(--panel) }
.skip { position: absolute; left: -99rem }
.skip:focus { left: 0; padding: .5rem; background: var(--ground) }
header, nav, main { padding: 0 1rem }
header { display: flex; align-items: center; justify-content: space-between; gap: 1rem }
h1 { font-size: 1.5rem; margin: 1rem 0 }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem }
h3 { font-size: 1.1rem; margin: 0 0 .5rem }
h4 { font-size: 1rem; margin: 1rem 0 .25rem }
small, .type, .optional { color: var(--soft); font-size: .875rem; font-weight: normal }
nav h2 { font-size: 1rem; margin: 1rem 0 .25rem }
nav ul { list-style: none; margin: 0; padding: 0 }
nav a { display: inline-block; padding: .2rem 0 }
main { max-width: 60rem; min-width: 0 }
article { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0 }
code, pre { font: .875rem/1.5 ui-monospace, monospace }
pre { background: var(--panel); padding: .75rem; overflow-x: auto; white-space: pre; border-radius: .25rem }
button { font: inherit; padding: .2rem .9rem; border: 1px solid var(--soft); border-radius: .4rem; background: none; color: var(--ink); cursor: pointer }
button + pre { max-height: 20rem; overflow-y: auto; white-space: pre-wrap }
.route { background: var(--panel); padding: .5rem .75rem; border-radius: .25rem }
dl { margin: .5rem 0 } dt { margin-top: .5rem } dd { margin: 0 0 0 1rem } dd p { margin: 0 }
summary { cursor: pointer; padding: .35rem 0 }
summary :is(h2, h3) { display: inline }
summary h3 { font-size: 1rem }
.schema { border-bottom: 1px solid var(--line) }
details > :not(summary) { margin-left: 1rem }
.page main { margin: 0 auto }
table { display: block; overflow-x: auto; border-collapse: collapse; margin: 1rem 0 }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line) }
td { min-width: 8rem }
@media (min-width: 60rem) {
  body:not(.page) { display: grid; grid-template: auto 1fr / 17rem 1fr }
  header { grid-column: 1 / 3 }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto }
}
`
