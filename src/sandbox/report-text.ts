/**
 * Text of a report as PostgreSQL stores it, in text and in jsonb: without NUL and lone surrogates, for which U+FFFD stands, and of at
 * most `maxLength` UTF-16 units, without half a character at the end.
 */
export function reportText(text: string, maxLength: number): string {
  const cut = text.slice(0, maxLength).replace(/[\uD800-\uDBFF]$/, '');
  return cut.toWellFormed().replaceAll('\0', '\uFFFD');
}
