/**
 * What belongs to the trader: orders, trades, balances. Fed by the stream, by the answers to what the trader
 * does, and by REST while the stream is away. The newer word wins; of two from the same moment, the stream's.
 */

import { Signal } from "./dom.js";
import { explain } from "./problems.js";
import { toast } from "./toast.js";

const CLOSED = new Set(["FILLED", "CANCELLED", "REJECTED"]);
const OPEN_STATUSES = "PENDING,PENDING_TRIGGER,TRIGGERED,OPEN,PARTIALLY_FILLED";
const CLOSED_STATUSES = [...CLOSED].join(",");
const PAGE = 50;

export const isClosed = (order) => CLOSED.has(order.status);

/** Milliseconds in the first 48 bits of an id (UUIDv7): when the order was placed. */
export const placedAt = (id) => parseInt(id.replaceAll("-", "").slice(0, 12), 16);

/** Lists that pages of REST are added to at the end; `cursor` undefined: nothing was loaded, null: no more. */
class List {
  items = new Map();
  cursor = undefined;
}

export class Account {
  open = new Map(); // by client_order_id
  history = new List();
  fills = new List();
  balances = new Map(); // by asset
  changed = new Signal(); // ("open" | "history" | "fills" | "balances")
  closed = new Signal(); // (order) that was open before, and whose trader is not about to be told by an answer

  #api;
  #feed;
  #placing = new Set(); // client_order_ids whose answer is still to come
  #seen = 0; // counts what was learnt of orders, so that an answer knows what is newer than its question
  #turn = 0; // goes up when somebody else signs in: answers of before are not for them

  constructor(api, feed) {
    this.#api = api;
    this.#feed = feed;
  }

  /** `member` or null. */
  start(member) {
    this.#turn += 1;
    this.open = new Map();
    this.history = new List();
    this.fills = new List();
    this.balances = new Map();
    for (const part of ["open", "history", "fills", "balances"]) this.changed.emit(part);
    for (const name of ["user.orders", "user.trades", "user.balances"]) this.#feed.unsubscribe(name);
    if (!member) return;
    this.#feed.subscribe("user.orders", (message) => this.#orders(message));
    this.#feed.subscribe("user.trades", (message) => this.#trades(message));
    this.#feed.subscribe("user.balances", (message) => this.#money(message.data.balances));
    this.refresh();
  }

  /** Open orders and balances by REST: at the start, and while the stream is away. */
  async refresh() {
    const turn = this.#turn;
    const asked = this.#seen;
    try {
      const [orders, balances] = await Promise.all([
        this.#api.get("orders", { status: OPEN_STATUSES, limit: 500 }),
        this.#api.get("balances"),
      ]);
      if (turn !== this.#turn) return;
      this.#replace(orders.items.map((order) => ({ ...order, at: Date.parse(order.updated_at) })), asked);
      this.#money(balances.items);
    } catch (problem) {
      toast(explain(problem), "bad");
    }
  }

  /** The next page of closed orders, the newest first. */
  async moreHistory() {
    await this.#more(this.history, "orders", { status: CLOSED_STATUSES }, (order) => [order.client_order_id, order]);
    this.changed.emit("history");
  }

  async moreFills() {
    await this.#more(this.fills, "trades/my", {}, (trade) => [trade.trade_id, ownTrade(trade)]);
    this.changed.emit("fills");
  }

  async #more(list, path, query, entry) {
    if (list.cursor === null) return;
    const turn = this.#turn;
    const page = await this.#api.get(path, { ...query, limit: PAGE, cursor: list.cursor });
    if (turn !== this.#turn) return;
    list.cursor = page.next_cursor;
    for (const [key, item] of page.items.map(entry)) if (!list.items.has(key)) list.items.set(key, item);
  }

  /** An order on its way: shown at once. */
  sending(order) {
    this.#placing.add(order.client_order_id);
    this.#put({ ...order, status: "SENDING", at: 0 });
    this.changed.emit("open");
  }

  /** The answer to placing it has come. */
  placed(clientOrderId) {
    this.#placing.delete(clientOrderId);
  }

  /** It never became an order. */
  forget(clientOrderId) {
    if (this.open.get(clientOrderId)?.status !== "SENDING") return;
    this.open.delete(clientOrderId);
    this.changed.emit("open");
  }

  /** What is being done to an order until there is an answer: "cancelling", "changing" or null. */
  doing(clientOrderId, what) {
    const order = this.open.get(clientOrderId);
    if (!order) return;
    this.open.set(clientOrderId, { ...order, doing: what });
    this.changed.emit("open");
  }

  /** An order as REST answered it. */
  answered(order) {
    this.#put({ ...order, at: Date.parse(order.updated_at) - 1 });
    if (this.#feed.state !== "live") this.refresh();
  }

  #orders(message) {
    const at = Date.parse(message.timestamp);
    if (message.type === "SNAPSHOT") this.#replace(message.data.orders.map((order) => ({ ...order, at })));
    else this.#put({ ...message.data, at });
  }

  /**
   * All open orders as of when there had been `asked` news (none given: as of now); what is missing has ended
   * meanwhile, so the history is read again.
   */
  #replace(orders, asked = Infinity) {
    const before = this.open;
    this.open = new Map([...before].filter(([, order]) => order.status === "SENDING" || order.seen > asked));
    for (const order of orders) {
      const known = before.get(order.client_order_id);
      if ((known ?? this.history.items.get(order.client_order_id))?.seen > asked) continue;
      this.open.set(order.client_order_id, known && known.at > order.at ? known : order);
    }
    if ([...before.keys()].some((key) => !this.open.has(key))) this.#reread();
    this.changed.emit("open");
  }

  async #reread() {
    if (this.history.cursor === undefined) return;
    this.history = new List();
    try {
      await this.moreHistory();
    } catch (problem) {
      toast(explain(problem), "bad");
    }
  }

  #put(order) {
    const key = order.client_order_id;
    const known = this.open.get(key) ?? this.history.items.get(key);
    if (known && (known.at > order.at || (isClosed(known) && !isClosed(order)))) return;
    const whole = { ...known, ...order, seen: ++this.#seen, doing: isClosed(order) ? null : (known?.doing ?? null) };
    if (isClosed(whole)) {
      const was = this.open.delete(key);
      this.history.items = new Map([[key, whole], ...[...this.history.items].filter(([other]) => other !== key)]);
      this.changed.emit("history");
      if (was && !this.#placing.has(key)) this.closed.emit(whole);
    } else this.open.set(key, whole);
    this.changed.emit("open");
  }

  #trades(message) {
    const given = message.type === "SNAPSHOT" ? message.data.trades : [message.data];
    const newest = new Map([...given].reverse().map((trade) => [trade.trade_id, trade]));
    this.fills.items = new Map([...newest, ...[...this.fills.items].filter(([key]) => !newest.has(key))]);
    this.changed.emit("fills");
  }

  #money(balances) {
    for (const balance of balances) this.balances.set(balance.asset, balance);
    this.changed.emit("balances");
  }
}

/** REST's trade with the caller's side of it as the stream tells it. */
function ownTrade({ own, ...trade }) {
  return { ...trade, ...own };
}
