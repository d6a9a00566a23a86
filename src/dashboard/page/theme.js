// Sets the chosen colour scheme before anything is painted: a classic script, since modules run later.
try {
  const theme = localStorage.getItem('kiro-gateway-theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset['theme'] = theme
} catch {
  // Storage is forbidden: the system's choice applies.
}
