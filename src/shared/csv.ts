/** Keeps spreadsheets from reading a formula. */
export function csvText(text: string): string {
  const plain = /^[=+@-]/.test(text) ? `'${text}` : text
  return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}
