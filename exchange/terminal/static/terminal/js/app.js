/** Puts the terminal together: what talks to what is on this page. */

import { Account } from "./account.js";
import { Api } from "./api.js";
import { Chart } from "./chart.js";
import { byId, mark, write } from "./dom.js";
import { Feed } from "./feed.js";
import { Form } from "./form.js";
import { config, gettext } from "./i18n.js";
import { Keys } from "./keys.js";
import { Ladder } from "./ladder.js";
import { Orders } from "./orders.js";
import { showConnection, startDialogs, startKeys, startTabs, startViews, toOrder } from "./page.js";
import { explain } from "./problems.js";
import { Session } from "./session.js";
import { startSignIn } from "./signin.js";
import { Solvency } from "./solvency.js";
import { Tape } from "./tape.js";
import { rules } from "./terms.js";
import { startTheme } from "./theme.js";
import { Markets, Strip } from "./ticker.js";
import { toast } from "./toast.js";

const RULES_EVERY = 30_000; // ms; a market's status and limits may change
const AGAIN = 3_000;

const session = new Session();
const api = new Api(session);
const feed = new Feed(config.stream, () => session.token);
const account = new Account(api, feed);

startTheme();
startTabs();
startViews();
startDialogs();
startSignIn(session);
new Keys(api, session);
new Solvency(api, session);

feed.changed.on(() => showConnection(feed.state, false));
feed.beat.on((beat) => showConnection(feed.state, beat.stale?.includes(config.symbol)));
feed.failed.on((message) => {
  if (message.code === "token_expired" || message.code === "invalid_token") session.renew();
});
session.renewed.on(() => feed.authenticate());
session.changed.on((member, ended) => {
  mark(document.documentElement, "signed", member ? "in" : "out");
  write(byId("email"), member?.email ?? "");
  if (ended) feed.restart(); // the old connection is still somebody's
  else feed.authenticate();
  account.start(member);
});

/** The markets; without an answer, again and again. */
async function symbols() {
  for (;;) {
    try {
      return (await api.get("symbols")).items;
    } catch (problem) {
      toast(explain(problem), "bad");
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }
}

function showStatus(market) {
  const texts = {
    HALTED: gettext("halted"),
    CANCEL_ONLY: gettext("cancelling only"),
    POST_ONLY: gettext("post only"),
  };
  const badge = byId("market-status");
  badge.hidden = market.status === "TRADING";
  write(badge, texts[market.status] ?? "");
}

async function start() {
  feed.connect();
  const [listed] = await Promise.all([symbols(), session.renew()]);
  const markets = new Map(listed.map((each) => [each.symbol, rules(each)]));
  const market = markets.get(config.symbol);
  showStatus(market);
  setInterval(async () => {
    try {
      const { items } = await api.get("symbols");
      for (const each of items) Object.assign(markets.get(each.symbol) ?? {}, rules(each));
      showStatus(market);
    } catch {
      showConnection(feed.state, false); // the next round asks again; what is known goes on being used
    }
  }, RULES_EVERY);

  const ladder = new Ladder(market);
  const tape = new Tape(market);
  const strip = new Strip(market);
  const list = new Markets(listed, market.symbol);
  const form = new Form(market, { api, session, account, ladder });
  const chart = new Chart(market, api, feed);
  new Orders(markets, market.symbol, { api, account });
  startKeys(form);

  tape.traded.on((trade) => ladder.trade(trade.price, trade.side));
  ladder.chosen.on(toOrder);
  account.changed.on((part) => {
    form.update();
    if (part !== "open") return;
    const own = [...account.open.values()];
    ladder.own(own);
    chart.own(own);
  });
  session.changed.on(form.update);

  feed.subscribe(`orderbook.${market.symbol}@100ms`, (message) => {
    const right = ladder.receive(message);
    form.update();
    return right;
  });
  feed.subscribe(`trades.${market.symbol}`, (message) => tape.receive(message));
  for (const { symbol } of listed) {
    feed.subscribe(`ticker.${symbol}`, ({ data }) => {
      list.receive(data);
      if (symbol === market.symbol) strip.receive(data);
    });
  }
  mark(document.documentElement, "ready", "");
}

start();
