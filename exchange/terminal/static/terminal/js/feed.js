/**
 * The live feed: one WebSocket, kept up. A channel's messages reach its handler in sequence, each once; after a
 * gap or a reconnect the handler gets a SNAPSHOT first.
 *
 * A handler is called with (message) and answers false when the message does not fit what it has (a checksum
 * that differs): it then gets a SNAPSHOT.
 *
 * States: live, connecting, stale (no heartbeat for 3 s), offline (waiting to try again).
 */

import { Signal } from "./dom.js";

const STALE = 3_000; // ms without a heartbeat
const DEAD = 10_000; // ms without one, after which the connection is given up
const ANSWER = 5_000; // ms that a snapshot may take to come
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

const isPrivate = (channel) => channel.startsWith("user.");

class Channel {
  epoch = null;
  sequence = 0;
  asked = 0; // when something was asked for that has not come; 0: all is well

  constructor(handler) {
    this.handler = handler;
  }
}

export class Feed {
  state = "connecting";
  changed = new Signal(); // (state)
  beat = new Signal(); // (message) each HEARTBEAT
  failed = new Signal(); // (message) each ERROR

  #address;
  #token;
  #channels = new Map();
  #socket = null;
  #heard = 0;
  #wait = FIRST_WAIT;
  #retry = 0;
  #authenticated = false;

  /** `token` gives the access token of the moment, or null. */
  constructor(address, token) {
    this.#address = address;
    this.#token = token;
    setInterval(() => this.#watch(), 500);
    addEventListener("online", () => this.#again());
    addEventListener("offline", () => this.#set("offline"));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && !this.#socket) this.#again();
    });
  }

  connect() {
    clearTimeout(this.#retry);
    this.#set("connecting");
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    this.#heard = performance.now();
    socket.addEventListener("open", () => this.#opened());
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(JSON.parse(event.data));
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket) this.#lost();
    });
  }

  subscribe(name, handler) {
    this.#channels.set(name, new Channel(handler));
    this.#ask([name]);
  }

  unsubscribe(name) {
    if (this.#channels.delete(name)) this.#send({ type: "UNSUBSCRIBE", channels: [name] });
  }

  /** After a new access token: what is private starts, or simply goes on. */
  authenticate() {
    const token = this.#token();
    if (token) this.#send({ type: "AUTH", token });
  }

  /** A new connection: nothing of who was signed in on the old one is left. */
  restart() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.connect();
  }

  #opened() {
    this.#authenticated = false;
    this.authenticate();
    this.#ask([...this.#channels.keys()]);
  }

  /** Subscribe to those of `names` that can be had now; private ones wait for the answer to AUTH. */
  #ask(names) {
    const now = names.filter((name) => this.#authenticated || !isPrivate(name));
    if (!now.length || this.#socket?.readyState !== WebSocket.OPEN) return;
    for (const name of now) this.#channels.get(name).asked = performance.now();
    this.#send({ type: "SUBSCRIBE", channels: now });
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #receive(message) {
    switch (message.type) {
      case "HEARTBEAT":
        this.#heard = performance.now();
        this.#wait = FIRST_WAIT;
        this.#set("live");
        this.beat.emit(message);
        break;
      case "ACK":
        if (message.for === "AUTH") {
          const first = !this.#authenticated;
          this.#authenticated = true;
          if (first) this.#ask([...this.#channels.keys()].filter(isPrivate));
        }
        break;
      case "ERROR":
        if (message.code === "token_expired") this.#authenticated = false;
        this.failed.emit(message);
        break;
      default:
        this.#deliver(message);
    }
  }

  #deliver(message) {
    const channel = this.#channels.get(message.channel);
    if (!channel) return;
    if (message.type === "SNAPSHOT") {
      channel.epoch = message.epoch;
      channel.sequence = message.sequence;
      channel.asked = 0;
    } else {
      if (message.epoch === channel.epoch && message.sequence <= channel.sequence) return; // had it already
      if (message.epoch !== channel.epoch || message.sequence !== channel.sequence + 1) {
        if (!channel.asked) this.#resync(message.channel, channel, channel.epoch);
        return;
      }
      channel.sequence = message.sequence;
      channel.asked = 0;
    }
    if (channel.handler(message) === false) this.#resync(message.channel, channel, "");
  }

  /** Under an epoch that is not the stream's, the answer is a SNAPSHOT; else what was missed, if it is kept. */
  #resync(name, channel, epoch) {
    channel.asked = performance.now();
    if (epoch === "") channel.epoch = null;
    this.#send({ type: "RESYNC", channel: name, last_sequence: channel.sequence, epoch: epoch || "none" });
  }

  #watch() {
    if (!this.#socket) return;
    const now = performance.now();
    const silent = now - this.#heard;
    if (silent > DEAD) {
      this.#lost();
      return;
    }
    if (silent > STALE && this.state === "live") this.#set("stale");
    for (const [name, channel] of this.#channels) {
      if (channel.asked && now - channel.asked > ANSWER && this.state === "live") this.#resync(name, channel, "");
    }
  }

  #lost() {
    const socket = this.#socket;
    this.#socket = null;
    socket.close();
    this.#authenticated = false;
    this.#set("offline");
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.connect(), this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #again() {
    this.#wait = FIRST_WAIT;
    if (!this.#socket) this.connect();
  }

  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.changed.emit(state);
  }
}
