/** What went wrong, in the page's language, by the code that the API gives it. */

import { gettext, number } from "./i18n.js";

/** An answer other than 2xx. `status` 0: there was no answer. */
export class Problem extends Error {
  constructor(status, code, detail, body = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

const TEXTS = {
  insufficient_funds: () => gettext("You do not have enough available for this order."),
  market_halted: () => gettext("This market takes no such orders at the moment."),
  post_only_would_cross: () => gettext("The order would trade at once, which “post only” forbids."),
  fok_unfilled: () => gettext("The order could not be filled in full at once."),
  no_liquidity: () => gettext("Nobody offers a price this order could trade at."),
  self_trade: () => gettext("The order would trade with one of your own."),
  unknown_order: () => gettext("The order is no longer open."),
  order_not_open: () => gettext("The order is no longer open."),
  order_not_found: () => gettext("You have no such order."),
  order_pending: () => gettext("The order has not reached the market yet; try again."),
  order_changed: () => gettext("The order changed meanwhile: look at it and try again."),
  not_amendable: () => gettext("A market order or stop has no price to change."),
  quantity_not_above_filled: () => gettext("The new quantity must be above what is filled already."),
  amendment_refused: () => gettext("The order could not be changed so; it is as it was."),
  amendment_in_progress: () => gettext("Another change of this order is under way; try again."),
  client_order_id_conflict: () => gettext("The order was sent twice with different terms."),
  rate_limited: () => gettext("Too many orders at once; wait a moment."),
  too_many_attempts: () => gettext("Too many attempts to sign in; wait a minute."),
  invalid_credentials: () => gettext("No active user has this e-mail and password."),
  not_authenticated: () => gettext("Sign in first."),
  invalid_token: () => gettext("Your session has ended: sign in again."),
  too_many_api_keys: () => gettext("You have as many API keys as one may have: revoke one first."),
  not_a_trader: () => gettext("Only traders have API keys."),
  forbidden: () => gettext("You may not do this."),
  no_institution: () => gettext("Your user has no account to trade with."),
  database_unavailable: () => gettext("The exchange does not answer; try again in a moment."),
  internal_error: () => gettext("Something went wrong at the exchange."),
  no_answer: () => gettext("No answer from the exchange. Check your connection."),
  missing: () => gettext("Fill this in."),
  invalid: () => gettext("Must be a number."),
  tick_size: (value) => gettext("Must be a multiple of {step}.", { step: number(value) }),
  lot_size: (value) => gettext("Must be a multiple of {step}.", { step: number(value) }),
  too_small: (value) => gettext("Must be at least {value}.", { value: number(value) }),
  too_large: (value) => gettext("Must be at most {value}.", { value: number(value) }),
  min_notional: (value, unit) =>
    gettext("Price × quantity must be at least {value} {unit}.", { value: number(value), unit }),
};

/** A code's text; null for one we have no words for. */
export function textOf(code, value, unit) {
  return TEXTS[code]?.(value, unit) ?? null;
}

/** A problem's text: by its code, else the exchange's own words. */
export function explain(problem) {
  return textOf(problem.code) ?? problem.message;
}

/** Why an order ended, by its `reason`. */
export function reasonText(reason) {
  const texts = {
    USER_CANCELLED: () => gettext("cancelled by you"),
    OPERATOR_CANCELLED: () => gettext("cancelled by the exchange"),
    IOC_REST: () => gettext("rest not filled at once"),
    MARKET_REST: () => gettext("rest outside the price collar"),
    SELF_TRADE: () => gettext("would trade with your own order"),
    INSUFFICIENT_FUNDS: () => gettext("not enough available"),
    POST_ONLY_WOULD_CROSS: () => gettext("would have traded at once"),
    FOK_UNFILLED: () => gettext("not fillable in full"),
    NO_LIQUIDITY: () => gettext("nobody to trade with"),
    MARKET_HALTED: () => gettext("market halted"),
    USER_BLOCKED: () => gettext("you may place no orders"),
    KYC_LEVEL: () => gettext("not identified far enough"),
    RISK_SCORE: () => gettext("no further risk allowed"),
    MAX_ORDER_NOTIONAL: () => gettext("above the limit of one order"),
    PRICE_BAND: () => gettext("price too far from the reference"),
    MAX_OPEN_ORDERS: () => gettext("too many open orders"),
    MAX_DAILY_NOTIONAL: () => gettext("above the limit of a day"),
    MAX_POSITION: () => gettext("above the limit of a position"),
  };
  return reason ? (texts[reason]?.() ?? reason) : "";
}
