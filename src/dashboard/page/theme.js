// The reader's choice of light or dark, before anything is painted; a classic script, since modules come later.
try {
  const theme = localStorage.getItem('kiro-gateway-theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset['theme'] = theme
} catch {
  // Storage is forbidden: the system's choice it is.
}
