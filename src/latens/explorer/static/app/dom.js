// Elements from code. Text from data only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected")
      element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

export function replace(element, ...children) {
  element.replaceChildren(
    ...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

let count = 0;
export const freshId = (word) => `${word}-${++count}`;

export function select(label, options, value, onchange, properties = {}) {
  const id = freshId("select");
  const groups = new Map();
  const list = h("select", { id, onchange: (event) => onchange(event.target.value), ...properties });
  for (const [key, text, group] of options) {
    const option = h("option", { value: key }, text);
    if (!group) list.append(option);
    else {
      if (!groups.has(group)) {
        groups.set(group, h("optgroup", { label: group }));
        list.append(groups.get(group));
      }
      groups.get(group).append(option);
    }
  }
  list.value = value;
  return h("label", { class: "field", for: id }, h("span", {}, label), list);
}

export const button = (text, onclick, properties = {}) => h("button", { type: "button", onclick, ...properties }, text);

// Lets the page answer in between, where much is done at once.
export const breathe = () => new Promise((resolve) => setTimeout(resolve));

// One call for many in a frame, the last one counts.
export function perFrame(work) {
  let waiting = false;
  let last = [];
  return (...values) => {
    last = values;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work(...last);
    });
  };
}

// One call at a time; of those that come meanwhile the last one follows.
export function latest(work) {
  let busy = false;
  let next = null;
  return async function run(...values) {
    if (busy) {
      next = values;
      return;
    }
    busy = true;
    try {
      await work(...values);
    } finally {
      busy = false;
      if (next) {
        const again = next;
        next = null;
        run(...again);
      }
    }
  };
}

export function format(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

// With the same decimals in every line of a list, so that 2.30 stands above 2.29.
export const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : format(value));

// The places of names as a reader counts, kind 2 before kind 10. Names that are not sorted have an order of their own.
export function inOrder(names) {
  const { compare } = new Intl.Collator("en", { numeric: true });
  if (names.some((name, i) => i && name < names[i - 1])) return names.map((_, i) => i);
  return names.map((_, i) => i).sort((i, j) => compare(names[i], names[j]) || i - j);
}

export const count3 = (n) => n.toLocaleString("en-US");
