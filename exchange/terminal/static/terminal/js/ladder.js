/**
 * The order book as a ladder: asks above, bids below, bars for what adds up to each price. Rows are made once
 * and rewritten at most once a frame. A click, or Enter on the row that the arrow keys chose, gives its price.
 */

import { Book, grouped } from "./book.js";
import { Decimal, places } from "./decimal.js";
import { Signal, batched, byId, kept, make, mark, write } from "./dom.js";
import { number } from "./i18n.js";

const ROW = 20; // pixels, as in the stylesheet
const MULTIPLES = [1, 10, 100, 1000, 10000];

export class Ladder {
  book = new Book();
  chosen = new Signal(); // (price as plain text, side of the row)
  redraw = batched(() => this.#draw());

  #market;
  #rows = { ask: [], bid: [] };
  #step = 1n;
  #active = null; // price of the row that the arrow keys are on
  #own = new Set(); // prices at which the trader has orders
  #last = { text: null, direction: "" };

  constructor(market) {
    this.#market = market;
    this.#grouping();
    new ResizeObserver(() => this.#fit()).observe(byId("ladder"));
    byId("ladder").addEventListener("click", (event) => {
      const row = event.target.closest("[data-price]");
      if (row) this.chosen.emit(row.dataset.price, row.dataset.side);
    });
    byId("ladder").addEventListener("keydown", (event) => this.#key(event));
    byId("ladder").addEventListener("blur", () => this.#activate(null));
  }

  /** A message of the feed; false if the book cannot be right. */
  receive(message) {
    const { book } = this;
    const right = message.type === "SNAPSHOT" ? book.load(message.data) : book.apply(message.data);
    mark(byId("ladder"), "sequence", message.sequence);
    this.redraw();
    return right;
  }

  /** Best prices as decimals or null. */
  get best() {
    const price = (levels) => (levels.length ? Decimal.of(levels[0].text) : null);
    return { bid: price(this.book.bids), ask: price(this.book.asks) };
  }

  /** Open orders, to be marked at their prices. */
  own(orders) {
    const mine = orders.filter((order) => order.symbol === this.#market.symbol && order.price);
    this.#own = new Set(mine.map((order) => `${order.side} ${Decimal.of(order.price)}`));
    this.redraw();
  }

  trade(price, side) {
    this.#last = { text: price, direction: side };
    this.redraw();
  }

  #grouping() {
    const select = byId("grouping");
    const name = `grouping ${this.#market.symbol}`;
    for (const multiple of MULTIPLES) {
      const step = this.#market.tick_size.times(Decimal.of(String(multiple)));
      select.append(make("option", { value: String(multiple), text: number(step.toString()) }));
    }
    select.value = kept.get(name, "1");
    if (!select.value) select.value = "1";
    const use = () => {
      this.#step = this.#market.tick_size.unitsAt(this.#scale) * BigInt(select.value);
      kept.set(name, select.value);
      this.redraw();
    };
    select.addEventListener("change", use);
    use();
  }

  get #scale() {
    return places(this.#market.tick_size.toString());
  }

  /** As many rows as there is room for. */
  #fit() {
    const room = byId("ladder").clientHeight - byId("ladder").querySelector(".middle").offsetHeight;
    const count = Math.max(5, Math.min(50, Math.floor(room / 2 / ROW)));
    for (const side of ["ask", "bid"]) {
      const rows = this.#rows[side];
      const box = byId(`${side}s`);
      while (rows.length < count) {
        const row = makeRow(side, rows.length);
        rows.push(row);
        if (side === "ask") box.prepend(row.element);
        else box.append(row.element);
      }
      while (rows.length > count) rows.pop().element.remove();
    }
    this.redraw();
  }

  #draw() {
    const count = this.#rows.ask.length;
    const asks = grouped(this.book.asks, this.#step, count, true);
    const bids = grouped(this.book.bids, this.#step, count, false);
    const most = [asks, bids].map((steps) => steps.at(-1)?.sum ?? 0n).reduce((a, b) => (a > b ? a : b));
    this.#side("ask", asks, most);
    this.#side("bid", bids, most);
    this.#middle();
  }

  #side(side, steps, most) {
    const scale = { price: this.#scale, quantity: places(this.#market.lot_size.toString()) };
    const direction = side === "ask" ? "SELL" : "BUY";
    this.#rows[side].forEach((row, index) => {
      const step = steps[index];
      mark(row.element, "empty", step ? null : "");
      if (!step) {
        mark(row.element, "price", null);
        for (const cell of row.cells) write(cell, "");
        row.bar(0);
        return;
      }
      const price = new Decimal(step.price, scale.price);
      write(row.cells[0], number(price, scale.price));
      write(row.cells[1], number(new Decimal(step.quantity, scale.quantity), scale.quantity));
      write(row.cells[2], number(new Decimal(step.sum, scale.quantity), scale.quantity));
      row.bar(most ? Number((step.sum * 1000n) / most) / 1000 : 0);
      mark(row.element, "price", price.toFixed(scale.price));
      mark(row.element, "own", this.#own.has(`${direction} ${price}`) ? "" : null);
      const active = this.#active === row.element.dataset.price;
      mark(row.element, "active", active ? "" : null);
      row.element.setAttribute("aria-selected", String(active));
      if (active) byId("ladder").setAttribute("aria-activedescendant", row.element.id);
    });
  }

  #middle() {
    const { bid, ask } = this.best;
    const scale = this.#scale;
    write(byId("ladder-last"), this.#last.text === null ? "–" : number(this.#last.text, scale));
    mark(byId("ladder-last"), "direction", this.#last.direction);
    write(byId("spread"), bid && ask ? number(ask.minus(bid), scale) : "–");
  }

  #key(event) {
    const rows = [...this.#rows.ask].reverse().concat(this.#rows.bid).map((row) => row.element);
    const filled = rows.filter((row) => row.dataset.price);
    if (event.key === "Enter" && this.#active !== null) {
      const row = filled.find((each) => each.dataset.price === this.#active);
      if (row) this.chosen.emit(row.dataset.price, row.dataset.side);
    } else if (["ArrowUp", "ArrowDown", "Home", "End"].includes(event.key) && filled.length) {
      const at = filled.findIndex((row) => row.dataset.price === this.#active);
      const next = {
        ArrowUp: at < 0 ? filled.findLastIndex((row) => row.dataset.side === "ask") : at - 1,
        ArrowDown: at < 0 ? filled.findIndex((row) => row.dataset.side === "bid") : at + 1,
        Home: 0,
        End: filled.length - 1,
      }[event.key];
      this.#activate(filled[Math.min(filled.length - 1, Math.max(0, next))].dataset.price);
    } else return;
    event.preventDefault();
  }

  #activate(price) {
    this.#active = price;
    if (price === null) byId("ladder").removeAttribute("aria-activedescendant");
    this.redraw();
  }
}

function makeRow(side, index) {
  const cells = ["price", "quantity", "sum"].map((name) => make("span", { class: name }));
  const element = make(
    "div",
    { class: "level", role: "option", id: `${side}-${index}`, "data-side": side, "data-testid": `${side}-${index}` },
    ...cells,
  );
  let shown = -1;
  const bar = (part) => {
    if (part !== shown) element.style.setProperty("--depth", part);
    shown = part;
  };
  return { element, cells, bar };
}
