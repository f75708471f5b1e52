/**
 * What people type as a number, in their own way of writing. Pure.
 *
 * Typed point and comma both become the language's decimal sign at once, so that nobody is left to guess what
 * "1.234" will be taken for. Pasted text may be grouped: "1.234,50" in Turkish, "1,234.50" in English.
 */

/** The text of a field after an edit: digits and at most one `sign`. */
export function tidy(text, sign) {
  const digits = text.replace(/[.,]/g, sign).replace(new RegExp(`[^0-9${sign}]`, "g"), "");
  const at = digits.indexOf(sign);
  return at < 0 ? digits : digits.slice(0, at + 1) + digits.slice(at + 1).replaceAll(sign, "");
}

/**
 * Pasted text as a field should have it, with or without a unit. "1,234" is what it is in the page's language;
 * what fits no way of writing a number gives nothing rather than another number.
 */
export function pasted(text, sign) {
  const bare = text.replace(/[^0-9.,]/g, "");
  const last = bare[Math.max(bare.lastIndexOf("."), bare.lastIndexOf(","))];
  const other = last === "." ? "," : ".";
  const [whole, fraction = "", ...more] = bare.split(last);
  const grouped = (digits, by) => new RegExp(`^\\d{1,3}(\\${by}\\d{3})+$`).test(digits);
  if (!last) return bare;
  if (bare.includes(other)) return !more.length && grouped(whole, other) ? whole.replaceAll(other, "") + sign + fraction : "";
  if (more.length || (last !== sign && grouped(bare, last))) return grouped(bare, last) ? bare.replaceAll(last, "") : "";
  return whole + sign + fraction;
}

/** A field's text as plain notation, which is what is calculated with and sent: "0,5" → "0.5". */
export function plain(text, sign) {
  const point = text.trim().replace(sign, ".");
  const whole = point.startsWith(".") ? `0${point}` : point;
  return whole.endsWith(".") ? whole.slice(0, -1) : whole;
}

/** Plain notation as a field shows it. */
export function shown(text, sign) {
  return text.replace(".", sign);
}
