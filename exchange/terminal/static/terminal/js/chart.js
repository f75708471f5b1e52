/**
 * Candles and volume: history over REST, the running candle from the feed. The one place where prices become
 * floats, because the chart library draws with them; nothing is calculated from these.
 */

import {
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  HistogramSeries,
  LineStyle,
  createChart,
} from "../vendor/lightweight-charts.standalone.production.mjs";
import { places } from "./decimal.js";
import { byId, kept, mark } from "./dom.js";
import { gettext, number, seconds } from "./i18n.js";
import { colour, themeChanged } from "./theme.js";

const PAGE = 500; // candles a request
const AGAIN = 5_000; // ms until the history is asked for once more
const NEAR = 30; // bars from the left end, at which older ones are fetched
const SECONDS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400 };

export class Chart {
  #api;
  #feed;
  #market;
  #interval = null;
  #channel = null;
  #candles = new Map(); // by start in seconds, ascending
  #oldest = false; // there is nothing before the first candle
  #loading = null;
  #chart;
  #prices;
  #volumes;
  #lines = [];
  #bars = {}; // colours of the volume, by direction
  #pending = new Map(); // candles that changed since the last frame
  #due = false;

  constructor(market, api, feed) {
    this.#market = market;
    this.#api = api;
    this.#feed = feed;
    this.#build();
    this.#style();
    themeChanged.on(() => this.#style());
    const chosen = kept.get("interval", "15m");
    for (const input of byId("intervals").querySelectorAll("input")) {
      input.checked = input.value === (chosen in SECONDS ? chosen : "15m");
      input.addEventListener("change", () => this.show(input.value));
      if (input.checked) this.show(input.value);
    }
  }

  show(interval) {
    if (this.#channel) this.#feed.unsubscribe(this.#channel);
    kept.set("interval", interval);
    this.#interval = interval;
    this.#candles = new Map();
    this.#pending.clear();
    this.#oldest = false;
    this.#redraw();
    mark(byId("chart"), "interval", interval);
    this.#load(true);
    this.#channel = `candles.${this.#market.symbol}.${interval}`;
    this.#feed.subscribe(this.#channel, (message) => this.#receive(message));
  }

  /** The trader's open orders as lines at their prices. */
  own(orders) {
    for (const line of this.#lines) this.#prices.removePriceLine(line);
    this.#lines = orders
      .filter((order) => order.symbol === this.#market.symbol && (order.price ?? order.stop_price))
      .slice(0, 30)
      .map((order) =>
        this.#prices.createPriceLine({
          price: Number(order.price ?? order.stop_price),
          color: colour(order.side === "BUY" ? "--buy" : "--sell", 0.7),
          lineWidth: 1,
          lineStyle: order.price ? LineStyle.Dashed : LineStyle.Dotted,
          axisLabelVisible: true,
          title: order.side === "BUY" ? gettext("Buy") : gettext("Sell"),
        }),
      );
  }

  #build() {
    const scale = places(this.#market.tick_size.toString());
    const price = (value) => number(value.toFixed(scale), scale);
    this.#chart = createChart(byId("chart"), {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11, fontFamily: getComputedStyle(document.body).fontFamily },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 6, tickMarkFormatter: tickMark },
      localization: { timeFormatter: seconds({ dateStyle: "medium", timeStyle: "short" }), priceFormatter: price },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.24 } },
      handleScale: { axisPressedMouseMove: true },
    });
    const minMove = Number(this.#market.tick_size.toString());
    this.#prices = this.#chart.addSeries(CandlestickSeries, {
      borderVisible: false,
      priceFormat: { type: "price", precision: scale, minMove },
    });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR) this.#load(false);
    });
    this.#chart.subscribeCrosshairMove((move) => this.#legend(move.time));
  }

  #style() {
    const [ink, line, rise, fall] = [colour("--soft"), colour("--line"), colour("--buy"), colour("--sell")];
    this.#chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colour("--card") }, textColor: ink },
      grid: { vertLines: { color: colour("--line", 0.5) }, horzLines: { color: colour("--line", 0.5) } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.#bars = { up: colour("--buy", 0.35), down: colour("--sell", 0.35) };
    this.#prices.applyOptions({ upColor: rise, downColor: fall, wickUpColor: rise, wickDownColor: fall });
    this.#redraw();
  }

  /** Older candles than those there are, or the newest at first. */
  async #load(first) {
    if (this.#oldest || (this.#loading === this.#interval && !first) || (!first && !this.#candles.size)) return;
    const interval = this.#interval;
    this.#loading = interval;
    const until = first ? null : moment(this.#candles.keys().next().value);
    try {
      const page = await this.#api.get(`candles/${this.#market.slug}`, { interval, to: until, limit: PAGE, fill: true });
      if (interval !== this.#interval) return;
      this.#oldest = page.items.length < PAGE;
      const older = page.items.map((each) => [Date.parse(each.start) / 1000, each]);
      this.#candles = new Map([...older, ...this.#candles].sort(([a], [b]) => a - b));
      this.#redraw();
      if (first) this.#chart.timeScale().setVisibleLogicalRange(this.#firstView());
    } catch {
      if (first) setTimeout(() => interval === this.#interval && this.#load(true), AGAIN);
    } finally {
      if (this.#loading === interval) this.#loading = null;
    }
  }

  /** As many bars as can be told apart, the newest at the right. */
  #firstView() {
    const bars = Math.max(30, Math.floor(byId("chart").clientWidth / 8));
    return { from: this.#candles.size - bars, to: this.#candles.size + 6 };
  }

  #receive(message) {
    if (message.type === "SNAPSHOT") {
      const starts = message.data.candles.map((each) => Date.parse(each.start) / 1000);
      const newest = [...this.#candles.keys()].at(-1);
      for (const candle of message.data.candles) this.#change(candle);
      // More than one interval went by without us: what is between is with REST.
      if (newest !== undefined && starts[0] > newest + SECONDS[this.#interval]) this.#load(true);
    } else this.#change(message.data);
  }

  #change(candle) {
    this.#pending.set(Date.parse(candle.start) / 1000, candle);
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#flush();
    });
  }

  #flush() {
    let newest = [...this.#candles.keys()].at(-1) ?? 0;
    let inside = false;
    for (const [start, candle] of [...this.#pending].sort(([a], [b]) => a - b)) {
      this.#candles.set(start, candle);
      if (start < newest) inside = true;
      else {
        newest = start;
        this.#prices.update(bar(start, candle));
        this.#volumes.update(this.#volume(start, candle));
      }
    }
    this.#pending.clear();
    if (inside) {
      this.#candles = new Map([...this.#candles].sort(([a], [b]) => a - b));
      this.#redraw();
    }
    this.#legend();
    byId("chart-empty").hidden = this.#candles.size > 0;
    mark(byId("chart"), "candles", this.#candles.size);
  }

  #redraw() {
    const candles = [...this.#candles];
    this.#prices.setData(candles.map(([start, candle]) => bar(start, candle)));
    this.#volumes.setData(candles.map(([start, candle]) => this.#volume(start, candle)));
    this.#legend();
    byId("chart-empty").hidden = candles.length > 0 || this.#loading !== null;
    mark(byId("chart"), "candles", candles.length);
  }

  #volume(start, candle) {
    const direction = Number(candle.close) >= Number(candle.open) ? "up" : "down";
    return { time: start, value: Number(candle.volume), color: this.#bars[direction] };
  }

  /** The figures of the candle under the pointer, or of the newest. */
  #legend(start) {
    const candle = this.#candles.get(start) ?? [...this.#candles.values()].at(-1);
    const scale = places(this.#market.tick_size.toString());
    const legend = byId("chart-legend");
    if (!candle) {
      legend.textContent = "";
      return;
    }
    const text = [
      [gettext("O"), candle.open],
      [gettext("H"), candle.high],
      [gettext("L"), candle.low],
      [gettext("C"), candle.close],
    ].map(([name, value]) => `${name} ${number(value, scale)}`);
    legend.textContent = `${text.join("  ")}  ${gettext("V")} ${number(candle.volume)}`;
    mark(legend, "direction", Number(candle.close) >= Number(candle.open) ? "up" : "down");
  }
}

const moment = (value) => new Date(value * 1000).toISOString().replace(".000", "");

function bar(start, candle) {
  const [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map(Number);
  return { time: start, open, high, low, close };
}

const year = seconds({ year: "numeric" });
const month = seconds({ month: "short" });
const day = seconds({ day: "numeric", month: "short" });
const clock = seconds({ hour: "2-digit", minute: "2-digit" });

/** The library's kinds of marks, in the reader's own time zone: 0 year, 1 month, 2 day, else time. */
function tickMark(value, kind) {
  return ([year, month, day][kind] ?? clock)(value);
}
