/**
 * The order book as the feed tells it: the best 100 levels a side, proved by a checksum. Pure.
 *
 * A level is {price, quantity, text, amount}: integers of the last digit shown (BigInt), and the texts as sent,
 * which the checksum is made of. Sides are sorted, best first.
 */

import { crc32 } from "./crc32.js";

const DEPTH = 100;
const CHECKED = 10;

const integer = (text) => BigInt(text.replace(".", ""));

export class Book {
  constructor() {
    this.bids = [];
    this.asks = [];
  }

  /** Replaces everything; true if the checksum says that it is right. */
  load({ bids, asks, checksum }) {
    this.bids = bids.map(level);
    this.asks = asks.map(level);
    return this.checksum() === checksum;
  }

  /** Sets the levels of an update, quantity 0 removes; true if the checksum says that the book is right. */
  apply({ bids, asks, checksum }) {
    for (const each of bids) put(this.bids, level(each), (a, b) => a > b);
    for (const each of asks) put(this.asks, level(each), (a, b) => a < b);
    this.bids.length = Math.min(this.bids.length, DEPTH);
    this.asks.length = Math.min(this.asks.length, DEPTH);
    return this.checksum() === checksum;
  }

  clear() {
    this.bids = [];
    this.asks = [];
  }

  /** CRC-32 over the best 10 levels: price:quantity joined by "|", bids, "||", asks. */
  checksum() {
    const side = (levels) => levels.slice(0, CHECKED).map((each) => `${each.text}:${each.amount}`).join("|");
    return crc32(`${side(this.bids)}||${side(this.asks)}`);
  }
}

function level([text, amount]) {
  return { price: integer(text), quantity: integer(amount), text, amount };
}

/** Into its place in a sorted side; `before(a, b)`: price a is better than price b. */
function put(levels, given, before) {
  let [low, high] = [0, levels.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(levels[middle].price, given.price)) low = middle + 1;
    else high = middle;
  }
  const found = low < levels.length && levels[low].price === given.price;
  if (given.quantity === 0n) {
    if (found) levels.splice(low, 1);
  } else levels.splice(low, found ? 1 : 0, given);
}

/**
 * The best `count` steps of a side, levels added up to multiples of `step`: {price, quantity, sum} each. A bid
 * counts to the step below it, an ask to the one above, so a step never looks better than its levels are.
 */
export function grouped(levels, step, count, ask) {
  const steps = [];
  let sum = 0n;
  for (const { price, quantity } of levels) {
    const rest = price % step;
    const at = rest === 0n ? price : ask ? price - rest + step : price - rest;
    let last = steps[steps.length - 1];
    if (!last || last.price !== at) {
      if (steps.length === count) break;
      last = { price: at, quantity: 0n, sum };
      steps.push(last);
    }
    sum += quantity;
    last.quantity += quantity;
    last.sum = sum;
  }
  return steps;
}
