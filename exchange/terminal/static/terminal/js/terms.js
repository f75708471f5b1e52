/**
 * What an order would cost, and what is wrong with it, before it is sent. Exact, and pure: texts and a book
 * in, decimals and codes out. The exchange has the last word; these are its own rules (`trading.api.order_request`).
 */

import { Decimal, ZERO, least } from "./decimal.js";

const ONE = Decimal.of("1");
const MOST_TICKS = Decimal.of("1000000000000000");

export const hasPrice = (type) => type === "LIMIT" || type === "STOP_LIMIT";
export const hasStop = (type) => type === "STOP" || type === "STOP_LIMIT";

/** The steps and limits of a market as `GET symbols` tells them, as decimals. */
export function rules(symbol) {
  const decimals = ["tick_size", "lot_size", "min_quantity", "max_quantity", "min_notional", "collar"];
  return { ...symbol, ...Object.fromEntries(decimals.map((name) => [name, Decimal.of(symbol[name])])) };
}

/**
 * Of one field, {code, value?} or null. Codes: missing, invalid, tick_size, lot_size, too_small, too_large.
 */
export function priceError(text, market) {
  if (text === "") return { code: "missing" };
  const price = Decimal.parse(text);
  if (price === null) return { code: "invalid" };
  if (!price.isMultipleOf(market.tick_size)) return { code: "tick_size", value: market.tick_size };
  if (price.isZero) return { code: "too_small", value: market.tick_size };
  const most = market.tick_size.times(MOST_TICKS);
  return price.compare(most) > 0 ? { code: "too_large", value: most } : null;
}

export function quantityError(text, market) {
  if (text === "") return { code: "missing" };
  const quantity = Decimal.parse(text);
  if (quantity === null) return { code: "invalid" };
  if (quantity.compare(market.min_quantity) < 0) return { code: "too_small", value: market.min_quantity };
  if (quantity.compare(market.max_quantity) > 0) return { code: "too_large", value: market.max_quantity };
  return quantity.isMultipleOf(market.lot_size) ? null : { code: "lot_size", value: market.lot_size };
}

/** What is wrong by field, for an order {side, type, quantity, price, stop_price} of texts. */
export function errors(order, market, available, best) {
  const found = {};
  const note = (field, error) => {
    if (error) found[field] = error;
  };
  if (hasStop(order.type)) note("stop_price", priceError(order.stop_price, market));
  if (hasPrice(order.type)) note("price", priceError(order.price, market));
  note("quantity", quantityError(order.quantity, market));
  if (Object.keys(found).length) return found;
  const quantity = Decimal.of(order.quantity);
  if (hasPrice(order.type) && Decimal.of(order.price).times(quantity).compare(market.min_notional) < 0) {
    return { quantity: { code: "min_notional", value: market.min_notional } };
  }
  if (bound(order, market, best) === null) return { form: { code: "no_liquidity" } };
  const held = hold(order, market, best);
  if (available !== null && held.compare(available) > 0) return { form: { code: "insufficient_funds" } };
  return found;
}

/**
 * The worst price an order may trade at: its own, or the collar around its stop price or the best price
 * {bid, ask}, rounded inward. null: a market order with nobody to trade with.
 */
export function bound(order, market, best) {
  if (hasPrice(order.type)) return Decimal.parse(order.price);
  const buying = order.side === "BUY";
  const reference = order.type === "STOP" ? Decimal.parse(order.stop_price) : buying ? best.ask : best.bid;
  if (!reference) return null;
  return buying
    ? reference.times(ONE.plus(market.collar)).floorTo(market.tick_size)
    : reference.times(ONE.minus(market.collar)).ceilTo(market.tick_size);
}

/** What is blocked while the order is open: quote for a buyer, base for a seller. */
export function hold(order, market, best) {
  const quantity = Decimal.of(order.quantity);
  return order.side === "BUY" ? quantity.times(bound(order, market, best)) : quantity;
}

/** The greatest quantity that `percent` of `available` carries; null where it can't be said. */
export function affordable(order, market, available, percent, best) {
  const part = available.times(Decimal.of(String(percent))).times(Decimal.of("0.01"));
  let quantity = part;
  if (order.side === "BUY") {
    const price = bound(order, market, best);
    if (!price || price.isZero) return null;
    quantity = part.over(price, market.lot_size.scale + 2);
  }
  return least(quantity.floorTo(market.lot_size), market.max_quantity);
}

/**
 * What would happen now: {value, average, fee, receive, taking}; fields are null where nothing can be said.
 * A market order walks through the book's levels up to its bound, a stop is taken at its stop price.
 */
export function estimate(order, market, levels, fees, best) {
  const quantity = Decimal.parse(order.quantity);
  const limit = bound(order, market, best);
  const nothing = { value: null, average: null, fee: null, receive: null, taking: false };
  if (!quantity || quantity.isZero || !limit || limit.isZero) return nothing;
  const buying = order.side === "BUY";
  let value = null;
  let average = null;
  if (order.type === "MARKET") {
    const walked = walk(levels, quantity, limit, buying);
    if (!walked) return nothing;
    value = walked.value;
    average = value.over(walked.filled, market.tick_size.scale + 2);
  } else value = quantity.times(order.type === "STOP" ? Decimal.of(order.stop_price) : limit);
  const facing = buying ? best.ask : best.bid;
  const crosses = facing && (buying ? limit.compare(facing) >= 0 : limit.compare(facing) <= 0);
  const taking = order.type === "MARKET" || hasStop(order.type) || (Boolean(crosses) && !order.post_only);
  const gross = buying ? quantity : value;
  const scale = buying ? market.base_scale : market.quote_scale;
  const fee = feeOn(gross, taking ? fees.taker : fees.maker, scale);
  return { value, average, fee, receive: gross.minus(fee), taking };
}

/** A fee on what is received, rounded up to the asset's scale. */
export function feeOn(gross, rate, scale) {
  return gross.times(Decimal.of(rate)).ceilTo(new Decimal(1n, scale));
}

/** Levels are {text, amount}, best first; null if nothing can be had within `limit`. */
function walk(levels, quantity, limit, buying) {
  let filled = ZERO;
  let value = ZERO;
  for (const each of levels) {
    const price = Decimal.of(each.text);
    if (buying ? price.compare(limit) > 0 : price.compare(limit) < 0) break;
    const taken = least(Decimal.of(each.amount), quantity.minus(filled));
    filled = filled.plus(taken);
    value = value.plus(taken.times(price));
    if (filled.compare(quantity) === 0) break;
  }
  return filled.isZero ? null : { filled, value };
}
