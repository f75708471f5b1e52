/**
 * The order form: what an order would cost and what is wrong with it as it is typed, and the order as it is
 * sent. It is answered at once: a row "sending…" in the open orders, then the exchange's answer as a toast.
 */

import { Decimal, ZERO, places } from "./decimal.js";
import { batched, byId, write } from "./dom.js";
import { gettext, number, sign } from "./i18n.js";
import { explain, reasonText, textOf } from "./problems.js";
import { affordable, errors, estimate, hasPrice, hasStop } from "./terms.js";
import { toast } from "./toast.js";
import { pasted, plain, shown, tidy } from "./typing.js";

const FIELDS = ["stop_price", "price", "quantity"];
const DOUBLE = 400; // ms in which a second click is not a second order
const NO_FEES = { maker: "0", taker: "0" };

export class Form {
  update = batched(() => this.#show());

  #market;
  #api;
  #session;
  #account;
  #ladder;
  #form = byId("order-form");
  #touched = new Set(); // fields whose errors may be shown
  #sentAt = -DOUBLE;
  #percent = null; // the part of the available funds that the quantity stands for

  constructor(market, { api, session, account, ladder }) {
    this.#market = market;
    this.#api = api;
    this.#session = session;
    this.#account = account;
    this.#ladder = ladder;
    ladder.chosen.on((price, side) => this.#take(price, side));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    for (const name of [...FIELDS, "total"]) this.#typing(this.#field(name), name);
    for (const input of this.#form.querySelectorAll("[name=side], [name=type], [name=time_in_force], [name=post_only]")) {
      input.addEventListener("change", () => this.#changed(input.name));
    }
    for (const button of this.#form.querySelectorAll("[data-percent]")) {
      button.addEventListener("click", () => this.#part(Number(button.dataset.percent)));
    }
    this.#changed("type");
  }

  /** To the form, on this side. */
  focus(side) {
    this.#form.querySelector(`[name=side][value=${side}]`).checked = true;
    this.#changed("side");
    const { type } = this.#order;
    const empty = hasPrice(type) && !this.#field("price").value;
    this.#field(hasStop(type) && !this.#field("stop_price").value ? "stop_price" : empty ? "price" : "quantity").focus();
  }

  #field(name) {
    return this.#form.elements[name];
  }

  /** The form's content; numbers in plain notation. */
  get #order() {
    const value = (name) => this.#form.querySelector(`[name=${name}]:checked`).value;
    const [side, type] = [value("side"), value("type")];
    const texts = Object.fromEntries(FIELDS.map((name) => [name, plain(this.#field(name).value, sign)]));
    const limit = type === "LIMIT" && this.#field("time_in_force").value === "GTC";
    return { side, type, ...texts, post_only: limit && this.#field("post_only").checked };
  }

  get #fees() {
    return this.#session.member?.fees[this.#market.symbol] ?? NO_FEES;
  }

  /** What can be spent on this side; null when nobody is signed in. */
  get #available() {
    if (!this.#session.member) return null;
    const asset = this.#order.side === "BUY" ? this.#market.quote : this.#market.base;
    const balance = this.#account.balances.get(asset);
    return balance ? Decimal.of(balance.available) : ZERO;
  }

  #typing(field, name) {
    field.addEventListener("paste", (event) => {
      event.preventDefault();
      field.value = pasted(event.clipboardData.getData("text"), sign);
      field.dispatchEvent(new Event("input"));
    });
    field.addEventListener("input", () => {
      const tidied = tidy(field.value, sign);
      if (tidied !== field.value) field.value = tidied;
      if (name === "total") this.#fromTotal();
      else this.#edited(name);
    });
    field.addEventListener("blur", () => {
      if (field.value) this.#touched.add(name);
      this.update();
    });
    if (name !== "quantity" && name !== "total") field.addEventListener("keydown", (event) => this.#nudge(event, field, name));
  }

  /** Arrow up and down change a price by a tick, with Shift by ten. */
  #nudge(event, field, name) {
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const price = Decimal.parse(plain(field.value, sign));
    if (!direction || !price) return;
    event.preventDefault();
    const step = this.#market.tick_size.times(Decimal.of(event.shiftKey ? "10" : "1"));
    const next = direction > 0 ? price.plus(step) : price.minus(step);
    if (next.units > 0n) this.#put(name, next);
    this.#edited(name);
  }

  #edited(name) {
    if (name === "quantity") this.#percent = null;
    else if (this.#percent !== null) this.#part(this.#percent);
    if (name !== "total") this.#toTotal();
    this.update();
  }

  #changed(name) {
    const { type, side } = this.#order;
    byId("price-field").hidden = !hasPrice(type);
    byId("stop-field").hidden = !hasStop(type);
    byId("total-field").hidden = !hasPrice(type);
    const times = this.#field("time_in_force");
    const rests = hasPrice(type);
    times.querySelector("[value=GTC]").disabled = !rests;
    if (name === "type") times.value = rests ? "GTC" : "IOC";
    byId("post-only-field").hidden = type !== "LIMIT" || times.value !== "GTC";
    this.#form.dataset.side = side;
    write(byId("submit"), side === "BUY" ? gettext("Buy {asset}", { asset: this.#market.base }) : gettext("Sell {asset}", { asset: this.#market.base }));
    if (this.#percent !== null) this.#part(this.#percent);
    if (name === "type" || name === "side") this.#touched.clear();
    this.#toTotal();
    this.update();
  }

  #put(name, decimal) {
    this.#field(name).value = shown(decimal.toString(), sign);
  }

  /** A price from the book. */
  #take(price) {
    const order = this.#order;
    if (order.type === "MARKET") {
      this.#form.querySelector("[name=type][value=LIMIT]").checked = true;
      this.#changed("type");
    }
    const name = order.type === "STOP" ? "stop_price" : "price";
    this.#put(name, Decimal.of(price));
    this.#edited(name);
  }

  #part(percent) {
    const available = this.#available;
    const order = this.#priced();
    const quantity = available && affordable(order, this.#market, available, percent, this.#ladder.best);
    if (quantity) {
      this.#put("quantity", quantity);
      this.#percent = percent;
      this.#touched.add("quantity");
      this.#toTotal();
    } else if (!available) toast(gettext("Sign in first."));
    else toast(gettext("Enter a price first."));
    this.update();
  }

  /** The order with the best price where a limit is not filled in yet. */
  #priced() {
    const order = this.#order;
    const { bid, ask } = this.#ladder.best;
    const best = order.side === "BUY" ? ask : bid;
    if (hasPrice(order.type) && !order.price && best) {
      this.#put("price", best);
      order.price = best.toString();
    }
    return order;
  }

  #toTotal() {
    const { price, quantity } = this.#order;
    const [a, b] = [Decimal.parse(price), Decimal.parse(quantity)];
    this.#field("total").value = a && b ? shown(a.times(b).toString(), sign) : "";
  }

  #fromTotal() {
    const total = Decimal.parse(plain(this.#field("total").value, sign));
    const price = Decimal.parse(this.#priced().price);
    this.#percent = null;
    if (total && price && !price.isZero) {
      this.#put("quantity", total.over(price, this.#market.lot_size.scale + 2).floorTo(this.#market.lot_size));
      this.#touched.add("quantity");
    }
    this.update();
  }

  #show() {
    const order = this.#order;
    const market = this.#market;
    const { best, book } = this.#ladder;
    const buying = order.side === "BUY";
    const asset = buying ? market.quote : market.base;
    const available = this.#available;
    write(byId("available"), available === null ? "–" : `${number(available.toString())} ${asset}`);

    const sound = Object.keys(errors(order, market, null, best)).length === 0;
    const levels = buying ? book.asks : book.bids;
    const none = { value: null, average: null, fee: null, receive: null };
    const told = sound ? estimate(order, market, levels, this.#fees, best) : none;
    const money = (amount, code, scale) => (amount ? `${number(amount.toFixed(scale).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, ""))} ${code}` : "–");
    const gets = buying ? [market.base, market.base_scale] : [market.quote, market.quote_scale];
    write(byId("cost"), money(told.value, market.quote, market.quote_scale));
    byId("average-line").hidden = order.type !== "MARKET";
    write(byId("average"), told.average ? number(told.average, places(market.tick_size.toString())) : "–");
    write(byId("fee"), money(told.fee, ...gets));
    write(byId("receive"), money(told.receive, ...gets));

    const facing = buying ? best.ask : best.bid;
    this.#field("price").placeholder = facing ? shown(facing.toString(), sign) : "";
    this.#errors(errors(order, market, available, best));
  }

  /** Shows what is wrong in the fields that were touched; all of it is what `found` has. */
  #errors(found) {
    for (const name of FIELDS) {
      const error = this.#touched.has(name) ? found[name] : null;
      const unit = name === "quantity" && error?.code !== "min_notional" ? this.#market.base : this.#market.quote;
      write(byId(`${name}-error`), error ? textOf(error.code, error.value?.toString(), unit) : "");
      this.#field(name).setAttribute("aria-invalid", String(Boolean(error)));
    }
    const shows = found.form && (this.#touched.has("quantity") || this.#touched.has("form"));
    write(byId("form-error"), shows ? textOf(found.form.code) : "");
    for (const button of this.#form.querySelectorAll("[data-percent]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.percent) === this.#percent));
    }
  }

  async #send() {
    const order = this.#order;
    if (!order.quantity && performance.now() - this.#sentAt < DOUBLE) return; // a double click: it was emptied
    if (!this.#session.member) {
      byId("sign-in").click();
      return;
    }
    const found = errors(order, this.#market, this.#available, this.#ladder.best);
    for (const name of [...FIELDS, "form"]) this.#touched.add(name);
    this.#errors(found);
    const first = FIELDS.find((name) => found[name]);
    if (first) this.#field(first).focus();
    if (Object.keys(found).length) return;

    const body = {
      symbol: this.#market.symbol,
      side: order.side,
      order_type: order.type,
      quantity: order.quantity,
      client_order_id: newName(),
      time_in_force: this.#field("time_in_force").value,
      ...(hasPrice(order.type) && { price: order.price }),
      ...(hasStop(order.type) && { stop_price: order.stop_price }),
      ...(order.post_only && { post_only: true }),
    };
    this.#sentAt = performance.now();
    this.#touched.clear();
    this.#field("quantity").value = "";
    this.#percent = null;
    this.#toTotal();
    this.update();
    await this.#place(body);
  }

  async #place(body) {
    this.#account.sending({ ...body, filled_quantity: "0", remaining_quantity: body.quantity, price: body.price ?? null, stop_price: body.stop_price ?? null });
    try {
      const order = await this.#post(body);
      this.#account.answered(order);
      toast(outcome(order), "good");
    } catch (problem) {
      if (problem.body?.order) this.#account.answered(problem.body.order);
      this.#account.forget(body.client_order_id);
      toast(explain(problem), "bad");
    } finally {
      this.#account.placed(body.client_order_id);
    }
  }

  /** Where no answer came, it is sent once more: under the same name it is not placed twice. */
  async #post(body) {
    try {
      return await this.#api.post("orders", body);
    } catch (problem) {
      if (problem.status !== 0 && problem.status !== 503) throw problem;
      return this.#api.post("orders", body);
    }
  }
}

/** What became of an order, in a sentence. */
export function outcome(order) {
  const values = {
    quantity: number(order.filled_quantity === "0" ? order.quantity : order.filled_quantity),
    asset: order.symbol.split("/")[0],
    price: order.average_price ? number(order.average_price) : "",
    reason: reasonText(order.reason),
  };
  const buying = order.side === "BUY";
  switch (order.status) {
    case "FILLED":
      return buying ? gettext("Bought {quantity} {asset} at {price}.", values) : gettext("Sold {quantity} {asset} at {price}.", values);
    case "PARTIALLY_FILLED":
      return buying
        ? gettext("Bought {quantity} {asset} at {price}; the rest is in the book.", values)
        : gettext("Sold {quantity} {asset} at {price}; the rest is in the book.", values);
    case "PENDING_TRIGGER":
      return gettext("The stop is waiting for its price.");
    case "PENDING":
      return gettext("The order is accepted and on its way to the market.");
    case "CANCELLED":
      if (order.filled_quantity === "0") return gettext("Nothing was filled: {reason}.", values);
      return buying
        ? gettext("Bought {quantity} {asset} at {price}; the rest was cancelled: {reason}.", values)
        : gettext("Sold {quantity} {asset} at {price}; the rest was cancelled: {reason}.", values);
    case "REJECTED":
      return gettext("The order was rejected: {reason}.", values);
    default:
      return gettext("The order is in the book.");
  }
}

/** A client_order_id nobody has used; `crypto.randomUUID` would need TLS. */
function newName() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `t-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
