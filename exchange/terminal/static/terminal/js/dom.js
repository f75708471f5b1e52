/** Small helpers over the DOM. Nothing here makes HTML from text. */

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; `text` is its text, `on` its listeners by event. */
export function make(tag, { text, on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children);
  return element;
}

/** Sets text only where it changed: most of what is redrawn each frame did not. */
export function write(element, text) {
  if (element.firstChild?.nodeType === Node.TEXT_NODE && element.childNodes.length === 1) {
    if (element.firstChild.data !== text) element.firstChild.data = text;
  } else element.textContent = text;
}

export function mark(element, name, value) {
  if (value === null || value === undefined) delete element.dataset[name];
  else if (element.dataset[name] !== String(value)) element.dataset[name] = value;
}

/** A function that has `render` run once before the next paint, however often it is called until then. */
export function batched(render) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      render();
    });
  };
}

/** What people chose, kept on this machine; works without storage, too. */
export const kept = {
  get(name, otherwise) {
    try {
      return localStorage.getItem(name) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(name, value);
    } catch {
      return; // storage is switched off: the choice holds until the page is left
    }
  },
};

/** Tell listeners of something: `on` gives the way to stop listening. */
export class Signal {
  #listeners = new Set();

  on(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(...values) {
    for (const listener of this.#listeners) listener(...values);
  }
}
