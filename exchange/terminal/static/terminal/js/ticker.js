/** The strip at the top, and the list of markets: both are told by the `ticker` channels. */

import { Decimal, places } from "./decimal.js";
import { batched, byId, make, mark, write } from "./dom.js";
import { fullTime, gettext, number, percent } from "./i18n.js";

const SHOWN = 8; // digits of a volume that are worth showing

const direction = (text) => {
  const units = text ? Decimal.of(text).units : 0n;
  return units > 0n ? "up" : units < 0n ? "down" : "";
};

/** Volumes with fewer digits after the point the greater they are. */
function volume(text) {
  if (text === null || text === undefined) return "–";
  const whole = text.split(".")[0].length;
  return number(text, Math.max(0, Math.min(4, SHOWN - whole - 2)));
}

export class Strip {
  #market;
  #ticker = null;
  #before = null;
  #draw = batched(() => this.#show());

  constructor(market) {
    this.#market = market;
  }

  receive(ticker) {
    if (this.#ticker && ticker.last !== this.#ticker.last) this.#before = this.#ticker.last;
    this.#ticker = ticker;
    this.#draw();
  }

  #show() {
    const ticker = this.#ticker;
    const scale = places(this.#market.tick_size.toString());
    const price = (text) => (text === null ? "–" : number(text, scale));
    const last = byId("ticker-last");
    write(last, price(ticker.last));
    const moved = this.#before && ticker.last ? Decimal.of(ticker.last).minus(Decimal.of(this.#before)).toString() : null;
    mark(last, "direction", direction(moved ?? ticker.change));
    const change = byId("ticker-change");
    const plus = ticker.change && direction(ticker.change) === "up" ? "+" : "";
    write(change, ticker.change === null ? "–" : `${plus}${price(ticker.change)} ${percent(ticker.change_percent)}`);
    mark(change, "direction", direction(ticker.change));
    write(byId("ticker-high"), price(ticker.high));
    write(byId("ticker-low"), price(ticker.low));
    write(byId("ticker-volume"), volume(ticker.volume));
    write(byId("ticker-quote-volume"), volume(ticker.quote_volume));
    this.#outside(ticker, price);
    const title = document.title.split(" · ").at(-1);
    if (ticker.last) document.title = `${price(ticker.last)} ${this.#market.symbol} · ${title}`;
  }

  #outside(ticker, price) {
    const sources = {
      BINANCE_WS: "Binance",
      BINANCE_REST: "Binance REST",
      LAST_TRADE: gettext("own last trade"),
    };
    const box = byId("ticker-price");
    write(box, price(ticker.price));
    mark(box, "stale", ticker.price !== null && ticker.stale ? "" : null);
    const source = sources[ticker.price_source] ?? "";
    box.title = [source, ticker.price_at && fullTime(ticker.price_at), ticker.stale && gettext("out of date")]
      .filter(Boolean)
      .join(", ");
  }
}

export class Markets {
  #rows = new Map();
  #tickers = new Map();
  #draw = batched(() => this.#show());

  /** `symbols` as `GET symbols` lists them. */
  constructor(symbols, current) {
    for (const symbol of symbols) {
      const cells = ["symbol", "last", "change"].map((name) => make("span", { class: name }));
      cells[0].textContent = symbol.symbol;
      const link = make(
        "a",
        { href: `/trade/${symbol.slug}`, "aria-current": symbol.symbol === current ? "page" : null, "data-testid": `market-${symbol.slug}` },
        ...cells,
      );
      const row = make("li", {}, link);
      this.#rows.set(symbol.symbol, { row, cells, scale: places(symbol.tick_size) });
      byId("markets").append(row);
    }
    const search = byId("market-search");
    search.addEventListener("input", () => this.#filter(search.value));
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#visible()[0]?.querySelector("a").click();
      if (event.key === "ArrowDown") this.#visible()[0]?.querySelector("a").focus();
    });
    byId("markets").addEventListener("keydown", (event) => this.#move(event));
  }

  receive(ticker) {
    this.#tickers.set(ticker.symbol, ticker);
    this.#draw();
  }

  #visible() {
    return [...this.#rows.values()].map(({ row }) => row).filter((row) => !row.hidden);
  }

  #filter(text) {
    const wanted = text.toUpperCase().replace(/[^A-Z0-9]/g, "");
    for (const [symbol, { row }] of this.#rows) row.hidden = !symbol.replace("/", "").includes(wanted);
    byId("markets-empty").hidden = this.#visible().length > 0;
  }

  #move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const rows = this.#visible();
    const next = rows[rows.indexOf(event.target.closest("li")) + step];
    (next?.querySelector("a") ?? byId("market-search")).focus();
    event.preventDefault();
  }

  #show() {
    for (const [symbol, ticker] of this.#tickers) {
      const known = this.#rows.get(symbol);
      if (!known) continue;
      write(known.cells[1], ticker.last === null ? "–" : number(ticker.last, known.scale));
      write(known.cells[2], percent(ticker.change_percent));
      mark(known.cells[2], "direction", direction(ticker.change));
    }
  }
}
