/** The tables below the chart: open orders (to change and to cancel), order history, own trades, balances. */

import { isClosed, placedAt } from "./account.js";
import { batched, byId, kept, make, mark, write } from "./dom.js";
import { outcome } from "./form.js";
import { dayTime, fullTime, gettext, number, sign } from "./i18n.js";
import { explain, reasonText, textOf } from "./problems.js";
import { Table } from "./table.js";
import { hasPrice, priceError, quantityError } from "./terms.js";
import { toast } from "./toast.js";
import { pasted, plain, shown, tidy } from "./typing.js";

const STATUS = {
  SENDING: () => gettext("sending…"),
  PENDING: () => gettext("on its way"),
  PENDING_TRIGGER: () => gettext("waiting for its price"),
  TRIGGERED: () => gettext("triggered"),
  OPEN: () => gettext("open"),
  PARTIALLY_FILLED: () => gettext("partly filled"),
  FILLED: () => gettext("filled"),
  CANCELLED: () => gettext("cancelled"),
  REJECTED: () => gettext("rejected"),
};
const TYPES = {
  LIMIT: () => gettext("Limit"),
  MARKET: () => gettext("Market"),
  STOP: () => gettext("Stop"),
  STOP_LIMIT: () => gettext("Stop limit"),
};
const DOING = { cancelling: () => gettext("cancelling…"), changing: () => gettext("changing…") };

const side = (name) => (name === "BUY" ? gettext("Buy") : gettext("Sell"));
/** A time in force that goes without saying: the default of its type. */
const plainTime = (order) => order.time_in_force === (hasPrice(order.order_type) ? "GTC" : "IOC");
const kind = (order) =>
  [side(order.side), TYPES[order.order_type](), plainTime(order) ? "" : order.time_in_force, order.post_only ? gettext("post only") : ""]
    .filter(Boolean)
    .join(" · ");
const amount = (value) => (value === null || value === undefined ? "–" : number(value));

function when(cell, moment) {
  write(cell, dayTime(moment));
  if (cell.title === "") cell.title = fullTime(moment);
}

const time = { draw: (cell, order) => (order.order_id ? when(cell, placedAt(order.order_id)) : write(cell, "–")) };
const symbol = { draw: (cell, item) => write(cell, item.symbol) };
const sided = (text) => ({
  draw: (cell, item) => {
    write(cell, text(item));
    mark(cell, "side", item.side);
  },
});
const figure = (name) => ({ number: true, draw: (cell, item) => write(cell, amount(item[name])) });
const fee = {
  number: true,
  draw: (cell, item) => write(cell, item.fee && item.fee !== "0" ? `${number(item.fee)} ${item.fee_asset}` : "–"),
};

export class Orders {
  #markets; // rules by symbol
  #symbol;
  #api;
  #account;
  #editing = null; // client_order_id
  #draw = batched(() => this.#show());
  #tables;

  constructor(markets, symbolShown, { api, account }) {
    this.#markets = markets;
    this.#symbol = symbolShown;
    this.#api = api;
    this.#account = account;
    const status = {
      draw: (cell, order) => {
        const reason = isClosed(order) ? reasonText(order.reason) : "";
        write(cell, STATUS[order.status]() + (reason ? `: ${reason}` : ""));
      },
    };
    this.#tables = {
      open: new Table(
        byId("open-rows"),
        [
          time,
          symbol,
          sided(kind),
          { number: true, draw: (cell, order) => this.#editable(cell, order, "price") },
          figure("stop_price"),
          { number: true, draw: (cell, order) => this.#editable(cell, order, "quantity") },
          figure("filled_quantity"),
          { draw: (cell, order) => write(cell, (DOING[order.doing] ?? STATUS[order.status])()) },
          { draw: (cell, order) => this.#actions(cell, order) },
        ],
        (order) => order.client_order_id,
      ),
      history: new Table(
        byId("history-rows"),
        [time, symbol, sided(kind), figure("price"), figure("average_price"), figure("quantity"), figure("filled_quantity"), fee, status],
        (order) => order.client_order_id,
      ),
      fills: new Table(
        byId("fills-rows"),
        [
          { draw: (cell, trade) => when(cell, trade.executed_at) },
          symbol,
          sided((trade) => side(trade.side)),
          figure("price"),
          figure("quantity"),
          fee,
          { draw: (cell, trade) => write(cell, trade.liquidity === "MAKER" ? gettext("maker") : gettext("taker")) },
        ],
        (trade) => trade.trade_id,
      ),
      balances: new Table(
        byId("balances-rows"),
        [{ draw: (cell, balance) => write(cell, balance.asset) }, figure("available"), figure("held"), figure("total")],
        (balance) => balance.asset,
      ),
    };
    this.#listen();
  }

  #listen() {
    this.#account.changed.on(this.#draw);
    this.#account.closed.on((order) => {
      if (order.status === "FILLED") toast(outcome(order), "good");
    });
    const only = byId("only-this");
    only.checked = kept.get("only this", "") === "yes";
    only.addEventListener("change", () => {
      kept.set("only this", only.checked ? "yes" : "");
      this.#draw();
    });
    byId("cancel-all").addEventListener("click", () => this.#cancelAll());
    byId("history-more").addEventListener("click", () => this.#load(() => this.#account.moreHistory()));
    byId("fills-more").addEventListener("click", () => this.#load(() => this.#account.moreFills()));
    byId("tab-history").addEventListener("click", () => this.#opened(this.#account.history, () => this.#account.moreHistory()));
    byId("tab-fills").addEventListener("click", () => this.#opened(this.#account.fills, () => this.#account.moreFills()));
  }

  #opened(list, more) {
    if (list.cursor === undefined) this.#load(more);
  }

  async #load(more) {
    try {
      await more();
    } catch (problem) {
      toast(explain(problem), "bad");
    }
  }

  get #shown() {
    const only = byId("only-this").checked;
    return (item) => !only || item.symbol === this.#symbol;
  }

  #show() {
    const account = this.#account;
    const newest = (a, b) => (a.order_id && b.order_id ? b.order_id.localeCompare(a.order_id) : a.order_id ? 1 : -1);
    const open = [...account.open.values()].filter(this.#shown).sort(newest);
    const history = [...account.history.items.values()].filter(this.#shown).sort(newest);
    const fills = [...account.fills.items.values()].filter(this.#shown);
    const balances = [...account.balances.values()].sort((a, b) => a.asset.localeCompare(b.asset));
    this.#tables.open.show(open, (row, order) => {
      mark(row, "testid", "open-order");
      mark(row, "status", order.status);
      mark(row, "order", order.order_id);
      mark(row, "client", order.client_order_id);
      mark(row, "doing", order.doing);
    });
    this.#tables.history.show(history, (row, order) => {
      mark(row, "testid", "closed-order");
      mark(row, "status", order.status);
      mark(row, "order", order.order_id);
      mark(row, "client", order.client_order_id);
    });
    this.#tables.fills.show(fills, (row, trade) => {
      mark(row, "testid", "own-trade");
      mark(row, "order", trade.order_id);
    });
    this.#tables.balances.show(balances, (row, balance) => {
      mark(row, "testid", `balance-${balance.asset}`);
      mark(row, "available", balance.available);
      mark(row, "held", balance.held);
    });
    for (const [name, items] of Object.entries({ open, history, fills, balances })) byId(`${name}-empty`).hidden = items.length > 0;
    write(byId("open-count"), open.length ? String(open.length) : "");
    byId("cancel-all").disabled = open.length === 0;
    byId("history-more").hidden = !account.history.cursor;
    byId("fills-more").hidden = account.fills.cursor === null || account.fills.items.size === 0;
  }

  // Changing and cancelling

  /** A cell that is a field while its order is being changed. */
  #editable(cell, order, name) {
    const editing = this.#editing === order.client_order_id && order[name] !== null;
    const input = cell.querySelector("input");
    if (!editing) {
      if (input) input.remove();
      write(cell, amount(order[name]));
      return;
    }
    if (input) return;
    const label = name === "price" ? gettext("New price") : gettext("New quantity");
    const field = make("input", { inputmode: "decimal", "aria-label": label, "data-testid": `amend-${name}`, name });
    field.value = shown(order[name], sign);
    field.addEventListener("input", () => {
      const tidied = tidy(field.value, sign);
      if (tidied !== field.value) field.value = tidied;
      field.removeAttribute("aria-invalid");
    });
    field.addEventListener("paste", (event) => {
      event.preventDefault();
      field.value = pasted(event.clipboardData.getData("text"), sign);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#amend(order.client_order_id);
      else if (event.key === "Escape") this.#edit(null);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    cell.replaceChildren(field);
    if (name === "price") field.select();
  }

  #actions(cell, order) {
    const editing = this.#editing === order.client_order_id;
    const state = editing ? "editing" : order.status === "SENDING" || order.doing ? "waiting" : `idle ${hasPrice(order.order_type)}`;
    if (cell.dataset.state === state) return;
    mark(cell, "state", state);
    const id = order.client_order_id;
    const button = (text, name, act) => make("button", { type: "button", class: "plain", text, "data-testid": name, on: { click: act } });
    if (editing) {
      cell.replaceChildren(
        button(gettext("Save"), "amend-save", () => this.#amend(id)),
        button(gettext("Leave"), "amend-leave", () => this.#edit(null)),
      );
    } else if (state === "waiting") cell.replaceChildren();
    else {
      cell.replaceChildren(
        ...(hasPrice(order.order_type) && order.status !== "PENDING_TRIGGER" ? [button(gettext("Change"), "amend", () => this.#edit(id))] : []),
        button(gettext("Cancel"), "cancel", () => this.#cancel(id)),
      );
    }
  }

  #edit(id) {
    this.#editing = id;
    this.#show();
  }

  async #amend(id) {
    const order = this.#account.open.get(id);
    const row = [...byId("open-rows").rows].find((each) => each.dataset.client === id);
    if (!order || !row) return;
    const market = this.#markets.get(order.symbol);
    const body = {};
    for (const [name, check] of [["price", priceError], ["quantity", quantityError]]) {
      const field = row.querySelector(`[name=${name}]`);
      const text = plain(field.value, sign);
      const error = check(text, market);
      if (error) {
        field.setAttribute("aria-invalid", "true");
        field.focus();
        toast(textOf(error.code, error.value?.toString()), "bad");
        return;
      }
      if (text !== order[name]) body[name] = text;
    }
    this.#edit(null);
    if (Object.keys(body).length) await this.#change(id, "changing", () => this.#api.patch(`orders/${order.order_id}`, body), gettext("The order is changed."));
  }

  async #cancel(id) {
    const order = this.#account.open.get(id);
    if (order) await this.#change(id, "cancelling", () => this.#api.delete(`orders/${order.order_id}`), gettext("The order is cancelled."));
  }

  /** What is asked for is shown at once, and taken back if the exchange refuses. */
  async #change(id, what, request, done) {
    this.#account.doing(id, what);
    try {
      const order = await request();
      this.#account.answered(order);
      toast(done, "good");
    } catch (problem) {
      if (problem.body?.order) this.#account.answered(problem.body.order);
      toast(explain(problem), "bad");
    } finally {
      this.#account.doing(id, null);
    }
  }

  async #cancelAll() {
    const only = byId("only-this").checked ? this.#symbol : null;
    const all = [...this.#account.open.values()].filter(this.#shown);
    for (const order of all) this.#account.doing(order.client_order_id, "cancelling");
    try {
      const { items } = await this.#api.delete("orders", { symbol: only });
      for (const order of items) this.#account.answered(order);
      toast(gettext("{count} orders are cancelled.", { count: items.length }), "good");
    } catch (problem) {
      toast(explain(problem), "bad");
    } finally {
      for (const order of all) this.#account.doing(order.client_order_id, null);
    }
  }
}
