/** The market's trades, newest first, in rows that are made once. */

import { Signal, batched, byId, make, mark, write } from "./dom.js";
import { places } from "./decimal.js";
import { number, time } from "./i18n.js";

const ROWS = 60;

export class Tape {
  traded = new Signal(); // (newest trade)

  #market;
  #trades = []; // newest first
  #rows = [];
  #draw = batched(() => this.#show());

  constructor(market) {
    this.#market = market;
  }

  receive(message) {
    if (message.type === "SNAPSHOT") this.#trades = [...message.data.trades].reverse();
    else this.#trades.unshift(message.data);
    this.#trades.length = Math.min(this.#trades.length, ROWS);
    if (this.#trades.length) this.traded.emit(this.#trades[0]);
    this.#draw();
  }

  #show() {
    const scale = { price: places(this.#market.tick_size.toString()), quantity: places(this.#market.lot_size.toString()) };
    while (this.#rows.length < this.#trades.length) {
      const cells = ["price", "quantity", "time"].map((name) => make("span", { class: name }));
      const row = { element: make("li", { "data-testid": `trade-${this.#rows.length}` }, ...cells), cells };
      this.#rows.push(row);
      byId("tape").append(row.element);
    }
    this.#rows.forEach(({ element, cells }, index) => {
      const trade = this.#trades[index];
      element.hidden = !trade;
      if (!trade) return;
      mark(element, "side", trade.side);
      mark(element, "number", trade.number);
      write(cells[0], number(trade.price, scale.price));
      write(cells[1], number(trade.quantity, scale.quantity));
      write(cells[2], time(trade.executed_at));
    });
  }
}
