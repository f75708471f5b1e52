/** Dark or light: as the system says, until the switch was used on this machine. */

import { Signal, byId, kept } from "./dom.js";

export const themeChanged = new Signal();

const system = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

export function startTheme() {
  system.addEventListener("change", () => themeChanged.emit());
  byId("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    kept.set("theme", theme);
    themeChanged.emit();
  });
}

const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** The colour that a custom property gives at this moment, as rgba(): what a canvas library understands. */
export function colour(name, alpha = 1) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = getComputedStyle(probe).color;
  probe.remove();
  pixel.fillRect(0, 0, 1, 1);
  const [red, green, blue] = pixel.getImageData(0, 0, 1, 1).data;
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}
