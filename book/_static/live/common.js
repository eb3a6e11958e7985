/* What the figures that compute in the page share: numbers, charts, controls. Colours are classes
   of live.css, so that a change of theme needs no redraw. */
(() => {
  const words = window.companionWords;
  const SVG = "http://www.w3.org/2000/svg";

  function filled(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  const html = (name, attributes = {}, ...children) =>
    filled(document.createElement(name), attributes, children);
  const svg = (name, attributes = {}, ...children) =>
    filled(document.createElementNS(SVG, name), attributes, children);

  /* A sentence of the catalogue with its {names} replaced. */
  const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  const minus = (text) => text.replace("-", "−");
  const raised = (exponent) =>
    String(exponent).replace(/./g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));

  /* Three digits, in powers of ten where the number is far from one. */
  function number(value, digits = 3) {
    if (value === 0) return "0";
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e").map(Number);
    if (exponent >= -3 && exponent < 5) return minus(String(Number(value.toPrecision(digits))));
    return minus(`${mantissa} × 10${raised(exponent)}`);
  }
  /* The same for the ear: screen readers skip raised figures. */
  function spoken(value, digits = 2) {
    if (value === 0) return "0";
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e").map(Number);
    if (exponent >= -3 && exponent < 5) return minus(String(Number(value.toPrecision(digits))));
    return fill(words.common.power, { mantissa: minus(String(mantissa)), exponent: minus(String(exponent)) });
  }
  const fixed = (value, digits) => minus(value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1"));
  const power = (exponent) => (exponent === 0 ? "1" : exponent === 1 ? "10" : `10${raised(exponent)}`);

  /* Round steps that divide a range into at most `most` parts. */
  function ticks(low, high, most = 5) {
    const rough = (high - low) / most;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((f) => f * unit).find((s) => s >= rough * (1 - 1e-9));
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
      found.push(Number((i * step).toPrecision(12)));
    }
    return found;
  }

  const FRAME = { width: 340, height: 220, left: 44, right: 10, top: 28, bottom: 38 };

  /* Draw a chart: axes { title, x, y }, each axis { range, ticks, label, format }, and marks
     { kind: "line" | "bars" | "dot", points: [[x, y]], look: class }. Returns pixel to value. */
  function chart(picture, { title, x, y, marks }) {
    const f = FRAME;
    const across = f.width - f.left - f.right;
    const down = f.height - f.top - f.bottom;
    // Far outside the frame is as good as infinity, which a path cannot hold.
    const part = (axis, value) =>
      Math.min(3, Math.max(-2, (value - axis.range[0]) / (axis.range[1] - axis.range[0])));
    const px = (value) => Number((part(x, value) * across).toFixed(1));
    const py = (value) => Number(((1 - part(y, value)) * down).toFixed(1));
    const path = (points) => "M" + points.map(([a, b]) => `${px(a)} ${py(b)}`).join("L");
    const inside = svg("svg", {
      x: f.left, y: f.top, width: across, height: down, viewBox: `0 0 ${across} ${down}`,
    });
    const outside = [svg("text", { class: "live-title", x: f.left, y: 16 }, title)];
    for (const value of y.ticks) {
      inside.append(svg("path", { class: "live-grid", d: `M0 ${py(value)}H${across}` }));
      const at = { class: "live-tick", x: f.left - 6, y: f.top + py(value) + 4, "text-anchor": "end" };
      outside.push(svg("text", at, (y.format || number)(value)));
    }
    for (const value of x.ticks) {
      const at = { class: "live-tick", x: f.left + px(value), y: f.height - 22, "text-anchor": "middle" };
      outside.push(svg("text", at, (x.format || number)(value)));
    }
    outside.push(
      svg("text", { class: "live-label", x: f.width - f.right, y: f.height - 5, "text-anchor": "end" }, x.label),
    );
    for (const { kind, points, look } of marks) {
      if (kind === "bars") {
        const w = (0.8 * across) / (x.range[1] - x.range[0]);
        const bars = points.map(([a, b]) => `M${(px(a) - w / 2).toFixed(1)} ${down}V${py(b)}h${w.toFixed(1)}V${down}z`);
        inside.append(svg("path", { class: `live-bars ${look}`, d: bars.join("") }));
      } else if (kind === "dot") {
        for (const [a, b] of points) {
          inside.append(svg("circle", { class: `live-dot ${look}`, cx: px(a), cy: py(b), r: 4.5 }));
        }
      } else {
        inside.append(svg("path", { class: `live-line ${look}`, d: path(points) }));
      }
    }
    outside.push(svg("path", { class: "live-axis", d: `M${f.left} ${f.top}V${f.height - f.bottom}H${f.width - f.right}` }));
    picture.replaceChildren(...outside, inside);
    return (clientX) => {
      const box = picture.getBoundingClientRect();
      const at = (((clientX - box.left) / box.width) * f.width - f.left) / across;
      return x.range[0] + at * (x.range[1] - x.range[0]);
    };
  }
  const picture = () =>
    svg("svg", { class: "live-chart", viewBox: `0 0 ${FRAME.width} ${FRAME.height}`, "aria-hidden": "true" });

  /* A slider with its name and value; `say` tells a screen reader what the picture now shows. */
  function slider({ id, label, min, max, step, value, format = number }, changed) {
    const input = html("input", { type: "range", id, min, max, step, value, autocomplete: "off" });
    const shown = html("span", { class: "live-value", "aria-hidden": "true" });
    const node = html("div", { class: "live-slider" }, html("label", { for: id }, label), shown, input);
    input.addEventListener("input", () => changed());
    return {
      node, input,
      get value() { return Number(input.value); },
      set(v) { input.value = v; changed(); },
      say(sentence) {
        shown.textContent = format(Number(input.value));
        input.setAttribute("aria-valuetext", fill(words.common.valued, { value: shown.textContent, sentence }));
      },
    };
  }

  /* One of several, as radio buttons: options [[value, label], ...]. */
  function choice({ id, label, options, value }, changed) {
    const group = html("fieldset", { class: "live-choice" }, html("legend", {}, label));
    for (const [name, text] of options) {
      const input = html("input", { type: "radio", name: id, value: name, autocomplete: "off" });
      if (name === value) input.setAttribute("checked", "");
      input.addEventListener("change", () => changed());
      group.append(html("label", {}, input, html("span", {}, text)));
    }
    return {
      node: group,
      get value() { return group.querySelector("input:checked").value; },
    };
  }

  const legend = (entries) =>
    html("ul", { class: "live-legend" }, ...entries.map(([look, text]) =>
      html("li", {},
        svg("svg", { viewBox: "0 0 28 8", width: 28, height: 8, "aria-hidden": "true" },
          look.startsWith("live-bars")
            ? svg("path", { class: look, d: "M1 0H27V8H1z" })
            : svg("path", { class: `live-line ${look}`, d: "M1 4H27" })), text)));

  /* Replace the still pictures of a figure by what `build` makes: a list of nodes. */
  function mount(name, build) {
    for (const place of document.querySelectorAll(`[data-live="${name}"]`)) {
      place.replaceChildren(...build(place));
      place.classList.add("live-on");
    }
  }

  window.companionLive = { html, svg, fill, number, spoken, fixed, power, ticks, chart, picture, slider, choice, legend, mount };
})();
