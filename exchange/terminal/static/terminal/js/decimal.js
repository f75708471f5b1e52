/**
 * Exact decimals for money: whole units of 10^-scale in a BigInt. Nothing here rounds but `floorTo`, `ceilTo`
 * and `over`, which say so. Pure.
 */

const PLAIN = /^(-?)(\d{1,40})(?:\.(\d{1,40}))?$/;

export class Decimal {
  constructor(units, scale) {
    this.units = units;
    this.scale = scale;
  }

  /** A decimal of plain notation such as "-12.50"; null for anything else. */
  static parse(text) {
    const match = PLAIN.exec(text ?? "");
    if (!match) return null;
    const [, sign, whole, fraction = ""] = match;
    const units = BigInt(whole + fraction);
    return new Decimal(sign ? -units : units, fraction.length);
  }

  /** The same where the text is known to be right; throws. */
  static of(text) {
    const value = Decimal.parse(text);
    if (value === null) throw new RangeError(`not a decimal: ${text}`);
    return value;
  }

  get isZero() {
    return this.units === 0n;
  }

  plus(other) {
    const scale = Math.max(this.scale, other.scale);
    return new Decimal(this.unitsAt(scale) + other.unitsAt(scale), scale);
  }

  minus(other) {
    return this.plus(new Decimal(-other.units, other.scale));
  }

  times(other) {
    return new Decimal(this.units * other.units, this.scale + other.scale);
  }

  /** Below 0, 0 or above, as this is less than, equal to or greater than `other`. */
  compare(other) {
    const scale = Math.max(this.scale, other.scale);
    const [a, b] = [this.unitsAt(scale), other.unitsAt(scale)];
    return a < b ? -1 : a > b ? 1 : 0;
  }

  /** The quotient of two positive numbers with `scale` digits after the point, the rest cut off. */
  over(other, scale) {
    const up = BigInt(scale) + BigInt(other.scale);
    const numerator = this.units * 10n ** up;
    return new Decimal(numerator / (other.units * 10n ** BigInt(this.scale)), scale);
  }

  isMultipleOf(step) {
    const scale = Math.max(this.scale, step.scale);
    return this.unitsAt(scale) % step.unitsAt(scale) === 0n;
  }

  /** The greatest multiple of `step` that is not above this (0 or greater). */
  floorTo(step) {
    const scale = Math.max(this.scale, step.scale);
    const [units, one] = [this.unitsAt(scale), step.unitsAt(scale)];
    return new Decimal(units - (units % one), scale);
  }

  /** The least multiple of `step` that is not below this (0 or greater). */
  ceilTo(step) {
    const floor = this.floorTo(step);
    return floor.compare(this) === 0 ? floor : floor.plus(step);
  }

  /** 10^-scale times the result; fewer digits than there are would round and are refused by throwing. */
  unitsAt(scale) {
    if (scale < this.scale) {
      const cut = 10n ** BigInt(this.scale - scale);
      if (this.units % cut !== 0n) throw new RangeError("would round");
      return this.units / cut;
    }
    return this.units * 10n ** BigInt(scale - this.scale);
  }

  /** Plain notation without zeros at the end: "1.5", "2". */
  toString() {
    const text = this.toFixed(this.scale);
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  }

  /** Plain notation with `places` digits after the point; what is beyond is cut off. */
  toFixed(places) {
    const negative = this.units < 0n;
    let units = negative ? -this.units : this.units;
    units = places >= this.scale ? units * 10n ** BigInt(places - this.scale) : units / 10n ** BigInt(this.scale - places);
    const digits = units.toString().padStart(places + 1, "0");
    const text = places ? `${digits.slice(0, -places)}.${digits.slice(-places)}` : digits;
    return negative && units !== 0n ? `-${text}` : text;
  }
}

export const ZERO = new Decimal(0n, 0);

export function least(a, b) {
  return a.compare(b) <= 0 ? a : b;
}

/** How many digits a step such as "0.01" has after the point. */
export function places(step) {
  const text = Decimal.of(step).toString();
  return text.includes(".") ? text.length - text.indexOf(".") - 1 : 0;
}
