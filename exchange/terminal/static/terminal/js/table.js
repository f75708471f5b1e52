/** A table's body that follows a list: rows are kept by key and changed in place, never built anew. */

import { make } from "./dom.js";

export class Table {
  #body;
  #columns;
  #key;
  #rows = new Map();

  /** `columns`: {number?, draw(cell, item)} in the order of the head, whose words become labels on phones. */
  constructor(body, columns, key) {
    this.#body = body;
    this.#key = key;
    const heads = [...body.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    this.#columns = columns.map((column, index) => ({ ...column, label: heads[index] }));
  }

  /** `decorate(row, item)` is told of each row. */
  show(items, decorate = () => {}) {
    const gone = new Set(this.#rows.keys());
    let at = this.#body.firstElementChild;
    for (const item of items) {
      const key = this.#key(item);
      gone.delete(key);
      const row = this.#rows.get(key) ?? this.#build(key);
      this.#columns.forEach((column, index) => column.draw(row.cells[index], item));
      decorate(row, item);
      if (row === at) at = at.nextElementSibling;
      else this.#body.insertBefore(row, at);
    }
    for (const key of gone) {
      this.#rows.get(key).remove();
      this.#rows.delete(key);
    }
  }

  #build(key) {
    const cells = this.#columns.map(({ number, label }) =>
      make("td", { class: number ? "number" : null, "data-label": label }),
    );
    const row = make("tr", {}, ...cells);
    this.#rows.set(key, row);
    return row;
  }
}
