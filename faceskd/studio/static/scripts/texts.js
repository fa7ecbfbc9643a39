/* Texts of scripts in the language of the page. The English text is the key. */
const translations = JSON.parse(document.getElementById("messages")?.textContent || "{}");

/** The translation of `text`, with {names} replaced by `values`. */
export function _(text, values = {}) {
  return fill(translations[text] ?? text, values);
}

/** `one` or `many`, translated, with {count} replaced. */
export function ngettext(one, many, count) {
  const known = translations[one];
  const number = count.toLocaleString(document.documentElement.lang);
  return fill(known ?? (count === 1 ? one : many), { count: number });
}

/** What a problem of a photo or a job says: {code, values, message}. */
export function problem(error) {
  if (!error) return _("Something went wrong. Try again.");
  return translations[error.code] ? fill(translations[error.code], error.values) : error.message;
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}
