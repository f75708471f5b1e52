/** Texts, numbers and times in the language of the page. Decimals are never turned into floats. */

import { Decimal } from "./decimal.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);

export const config = read("config");
const messages = read("messages");
const language = config.language;

/** The text in the page's language; {name} is replaced by values.name. */
export function gettext(text, values = {}) {
  return (messages[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

const parts = new Intl.NumberFormat(language, { useGrouping: true }).formatToParts(1234567.5);
const part = (type, otherwise) => parts.find((each) => each.type === type)?.value ?? otherwise;
const group = part("group", ",");
export const sign = part("decimal", ".");

/** A decimal text or Decimal with grouped digits; with `places`, that many after the point, the rest cut off. */
export function number(value, places) {
  if (value === null || value === undefined) return "–";
  let text = String(value);
  if (places !== undefined) text = (value instanceof Decimal ? value : Decimal.of(text)).toFixed(places);
  const [whole, fraction] = text.split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, group);
  return (fraction ? spaced + sign + fraction : spaced).replace("-", "−");
}

/** "+1.25%" from "1.25"; in Turkish "+%1,25". */
export function percent(text) {
  if (text === null || text === undefined) return "–";
  const value = Decimal.of(text);
  const shown = number(value, 2).replace("−", "");
  const before = value.units > 0n ? "+" : value.units < 0n ? "−" : "";
  return language === "tr" ? `${before}%${shown}` : `${before}${shown}%`;
}

const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const moment = new Intl.DateTimeFormat(language, {
  day: "2-digit",
  month: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const long = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });

export const time = (text) => clock.format(new Date(text));
export const dayTime = (text) => moment.format(new Date(text));
export const date = (text) => day.format(new Date(text));
export const fullTime = (text) => long.format(new Date(text));

/** For the chart: a formatter of Intl for these options, which takes seconds since the epoch. */
export function seconds(options) {
  const format = new Intl.DateTimeFormat(language, { hourCycle: "h23", ...options });
  return (value) => format.format(new Date(value * 1000));
}
